package plan

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation"

	"module-controller/tunnel"
)

// Endpoint is where the kubelet's API of a Node is served. The zero value is nowhere.
type Endpoint struct {
	// Host is an IP address.
	Host string
	// Port is from 1 to 65535.
	Port int32
}

// noKubelet is the port at which a Node's kubelet is said to be where nobody serves its API:
// where none is said, the API server and metrics-server connect to 10250 at the base's
// address, and where the base shares its machine's network the machine's own kubelet answers.
const noKubelet = 1

// setAddresses shows where the Node's kubelet is, and where the base is. The API server and
// scrapers connect to what stands here, some with a token, so a host name stands here only if
// nobody is likely to resolve it to something else; the label and the annotation have it
// whatever it is.
//
// Whoever connects to a kubelet takes, of the type of address that it prefers, the first: it
// is a host name for an API server as it comes, and an internal IP for one of kubeadm's. So
// the kubelet's address comes first as both. What follows is the base's. Of a base that told no
// address there is no internal IP: the kubelet's would be read back as the base's.
func setAddresses(in NodeInput, node *corev1.Node) {
	base := addressesOf(in.Heartbeat)
	node.Status.Addresses = base
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = noKubelet
	if in.Kubelet == (Endpoint{}) {
		return
	}
	node.Status.DaemonEndpoints.KubeletEndpoint.Port = in.Kubelet.Port
	node.Status.Addresses = nil
	if in.Heartbeat.IP != "" {
		node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: in.Kubelet.Host})
	}
	node.Status.Addresses = append(node.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: in.Kubelet.Host})
	for _, a := range base {
		if !slices.Contains(node.Status.Addresses, a) { // the API server takes none twice
			node.Status.Addresses = append(node.Status.Addresses, a)
		}
	}
}

// addressesOf are those of the base.
func addressesOf(beat tunnel.Heartbeat) (addresses []corev1.NodeAddress) {
	if beat.IP != "" {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: beat.IP})
	}
	if harmless(beat.Hostname) {
		addresses = append(addresses, corev1.NodeAddress{Type: corev1.NodeHostName, Address: beat.Hostname})
	}
	return addresses
}

// KubeletOf is where a Node shows that its kubelet's API is served; zero where it shows none, or
// the Node is nil. Its host is the one that is a host name too: no
// IP address is harmless as a base's host name.
func KubeletOf(node *corev1.Node) Endpoint {
	if node == nil {
		return Endpoint{}
	}
	port := node.Status.DaemonEndpoints.KubeletEndpoint.Port
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeHostName && !harmless(a.Address) {
			return Endpoint{Host: a.Address, Port: port}
		}
	}
	return Endpoint{}
}

// BaseAddress is the IP address of a Node's base; empty where the Node does not tell it.
func BaseAddress(node *corev1.Node) (ip string) {
	for _, a := range node.Status.Addresses {
		if a.Type == corev1.NodeInternalIP {
			ip = a.Address // the last one: a kubelet's stands before it
		}
	}
	return ip
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
