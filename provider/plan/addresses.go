package plan

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"module-controller/tunnel"
)

// setAddresses shows where the base is. The API server and scrapers connect to what stands
// here, some with a token, so a host name stands here only if nobody is likely to resolve
// it to something else; the label and the annotation have it whatever it is.
func setAddresses(beat tunnel.Heartbeat, node *corev1.Node) {
	var addresses []corev1.NodeAddress
	if beat.IP != "" {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: beat.IP})
	}
	if harmless(beat.Hostname) {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: beat.Hostname})
	}
	node.Status.Addresses = addresses
}

// harmless says of a host name that it is one label, as the names of Pods are, and none of
// those that mean the same everywhere. With a dot it could be any host or Service.
//
// NB: a resolver with search domains may still find a Service of this name, in its own
// namespace only.
func harmless(hostname string) bool {
	name := strings.ToLower(hostname)
	switch name {
	case "kubernetes", "localhost", "metadata", "wpad", "isatap":
		return false
	}
	return len(validation.IsDNS1123Label(name)) == 0
}

// boundTo writes what was proved of a base's sender as an annotation's value; empty where
// nothing was.
func boundTo(s tunnel.Sender) string {
	switch {
	case !s.Bound:
		return ""
	case s.Workload == "":
		return boundByTunnel
	}
	return s.Workload
}

// senderOf reads what boundTo wrote.
func senderOf(boundTo string) tunnel.Sender {
	switch boundTo {
	case "":
		return tunnel.Sender{}
	case boundByTunnel:
		return tunnel.Sender{Bound: true}
	}
	return tunnel.Sender{Bound: true, Workload: boundTo}
}
