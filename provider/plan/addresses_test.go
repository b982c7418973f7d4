package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// What stands among a Node's addresses is dialed by others, some with a token: a host name
// that could be another host stands in the label and the annotation only.
func TestWhichHostNamesAreAddresses(t *testing.T) {
	for hostname, want := range map[string]bool{
		"local": true, "shop-0": true, "Shop-7d9f": true, "h": true, "": false,
		"kubernetes": false, "Kubernetes": false, "localhost": false, "metadata": false,
		"kubernetes.default.svc": false, "kubernetes.default.svc.cluster.local": false, "ip-10-0-0-1.ec2.internal": false,
		"169.254.169.254": false, "::1": false, "-x": false, "a b": false, "a_b": false, strings.Repeat("x", 64): false,
	} {
		in := nodeInput()
		in.Heartbeat.Hostname = hostname
		node := Node(in, nil)
		shown := false
		for _, a := range node.Status.Addresses {
			shown = shown || a.Type == corev1.NodeHostName && a.Address == hostname
			if a.Type != corev1.NodeInternalIP && a.Type != corev1.NodeHostName {
				t.Errorf("%q: it shows %+v", hostname, a)
			}
		}
		if shown != want || len(node.Status.Addresses) > 1 != want {
			t.Errorf("%q: the addresses are %v", hostname, node.Status.Addresses)
		}
		if beat, _, err := Adopt(node); err != nil || beat.Hostname != hostname {
			t.Errorf("%q is read back as %q: %v", hostname, beat.Hostname, err)
		}
	}
}

// What was proved of a base's sender stands on its Node for the next owner.
func TestTheNodeTellsToWhomItsBaseIsBound(t *testing.T) {
	for text, s := range map[string]tunnel.Sender{
		"": {}, "tunnel": {Bound: true}, "ns/shop-0/1": {Bound: true, Workload: "ns/shop-0/1"},
	} {
		in := nodeInput()
		in.Heartbeat.Sender = s
		node := Node(in, nil)
		if got := node.Annotations[AnnotationBoundTo]; got != text {
			t.Errorf("of %+v the Node says %q", s, got)
		}
		if beat, _, err := Adopt(node); err != nil || beat.Sender != s {
			t.Errorf("%+v is read back as %+v: %v", s, beat.Sender, err)
		}
	}
}

// A Node that is not described anew keeps what its base said, and shows all else.
func TestAnUndescribedNodeFollowsInTheRest(t *testing.T) {
	in := nodeInput()
	was := Node(in, nil)
	in.Heartbeat.Hostname, in.Heartbeat.IP, in.Heartbeat.Version = "other", "192.0.2.66", "9"
	in.Health = &tunnel.Health{MaxMemory: 5 << 30, CPUs: 3}
	in.NotReady = ReasonBaseSilent
	if SameDescription(was, Node(in, was)) {
		t.Error("it does not differ")
	}
	in.Undescribed = true
	is := Node(in, was)
	if !SameDescription(was, is) {
		t.Errorf("it is described: %v %v", is.Labels, is.Status.Addresses)
	}
	if NotReadyOf(is) != ReasonBaseSilent {
		t.Errorf("it is %q", NotReadyOf(is))
	}
}
