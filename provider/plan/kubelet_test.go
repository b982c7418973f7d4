package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

var served = Endpoint{Host: "10.0.0.7", Port: 10251}

// Whichever address an API server prefers, it finds the kubelet where it is served, and the
// base's own addresses are there beside it.
func TestAKubeletIsFoundByEitherOrder(t *testing.T) {
	in := nodeInput()
	in.Kubelet = served
	node := Node(in, nil)
	want := []corev1.NodeAddress{
		{Type: "InternalIP", Address: "10.0.0.7"}, {Type: "Hostname", Address: "10.0.0.7"},
		{Type: "InternalIP", Address: "127.0.0.1"}, {Type: "Hostname", Address: "local"},
	}
	if diff := cmp.Diff(want, node.Status.Addresses); diff != "" {
		t.Errorf("addresses (-want +got):\n%s", diff)
	}
	for order, types := range map[string][]corev1.NodeAddressType{
		"as it comes": {corev1.NodeHostName, corev1.NodeInternalDNS, corev1.NodeInternalIP, corev1.NodeExternalDNS, corev1.NodeExternalIP},
		"kubeadm's":   {corev1.NodeInternalIP, corev1.NodeExternalIP, corev1.NodeHostName},
	} {
		at := preferred(node, types)
		if port := node.Status.DaemonEndpoints.KubeletEndpoint.Port; at != "10.0.0.7" || port != 10251 {
			t.Errorf("%s: it is at %s, port %d", order, at, port)
		}
	}
	if beat, _, err := Adopt(node); err != nil || beat.IP != "127.0.0.1" || BaseAddress(node) != "127.0.0.1" {
		t.Errorf("the base is at %s (%v)", beat.IP, err)
	}
}

// preferred gives the address that an API server takes which prefers types in this order.
func preferred(node *corev1.Node, types []corev1.NodeAddressType) string {
	for _, one := range types {
		for _, a := range node.Status.Addresses {
			if a.Type == one {
				return a.Address
			}
		}
	}
	return ""
}

// A base at the replica's own address has it once: the API server takes no address twice.
func TestAnAddressIsToldOnce(t *testing.T) {
	in := nodeInput()
	in.Kubelet, in.Heartbeat.IP = served, served.Host
	node := Node(in, nil)
	seen := map[corev1.NodeAddress]bool{}
	for _, a := range node.Status.Addresses {
		if seen[a] {
			t.Errorf("%v is told twice", a)
		}
		seen[a] = true
	}
	if BaseAddress(node) != served.Host {
		t.Errorf("the base is at %q", BaseAddress(node))
	}
}

// A base that told no address is not taken to be where its owner is, by whoever reads its Node.
func TestAKubeletsAddressIsNotTheBases(t *testing.T) {
	in := nodeInput()
	in.Kubelet, in.Heartbeat.IP = served, ""
	node := Node(in, nil)
	if beat, _, err := Adopt(node); err != nil || beat.IP != "" || beat.Hostname != "local" {
		t.Errorf("the base is read back at %q, %q (%v) of %v", beat.IP, beat.Hostname, err, node.Status.Addresses)
	}
	if at := KubeletOf(node); at != served {
		t.Errorf("its kubelet is at %v, want %v", at, served)
	}
}

// Where the kubelet is follows its owner at once, although what the base says of itself waits;
// where nobody serves it, nothing of it stays.
func TestWhereAKubeletIsWaitsForNothing(t *testing.T) {
	in := nodeInput()
	in.Kubelet = served
	node := Node(in, nil)
	moved := in
	moved.Undescribed, moved.Heartbeat.Hostname = true, "another"
	if again := Node(moved, node); cmp.Diff(node.Status.Addresses, again.Status.Addresses) != "" {
		t.Errorf("what the base says did not wait: %v", again.Status.Addresses)
	}
	for _, next := range []Endpoint{{Host: "10.0.0.8", Port: 10250}, {Host: "10.0.0.7", Port: 10260}, {}} {
		moved.Kubelet = next
		again := Node(moved, node)
		if KubeletOf(again) != next {
			t.Errorf("it is at %v, want %v", KubeletOf(again), next)
		}
		if next == (Endpoint{}) && (len(again.Status.Addresses) != 2 || again.Status.DaemonEndpoints.KubeletEndpoint.Port != noKubelet) {
			t.Errorf("nobody serves it, and the Node tells %v", again.Status)
		}
	}
}

// A pod runs where the base lists all its modules as serving.
func TestWhichPodsABaseServes(t *testing.T) {
	listed := []tunnel.Module{
		{ModuleKey: tunnel.ModuleKey{Name: "a", Version: "1"}, State: tunnel.Activated},
		{ModuleKey: tunnel.ModuleKey{Name: "b", Version: "1"}, State: tunnel.Resolved},
		{ModuleKey: tunnel.ModuleKey{Name: "c", Version: "2"}, State: tunnel.Activated},
	}
	container := func(name, version string) corev1.Container {
		return corev1.Container{Name: name, Image: "http://jars/" + name + ".jar", Env: []corev1.EnvVar{{Name: EnvVersion, Value: version}}}
	}
	for name, c := range map[string]struct {
		containers []corev1.Container
		want       bool
	}{
		"one":             {[]corev1.Container{container("a", "1")}, true},
		"two":             {[]corev1.Container{container("a", "1"), container("c", "2")}, true},
		"what starts":     {[]corev1.Container{container("a", "1"), container("b", "1")}, false},
		"another version": {[]corev1.Container{container("c", "1")}, false},
		"not there":       {[]corev1.Container{container("d", "1")}, false},
		"injected":        {[]corev1.Container{container("a", "1"), {Name: "sidecar", Image: "proxy:1"}}, true},
		"no module":       {[]corev1.Container{{Name: "sidecar", Image: "proxy:1"}}, false},
	} {
		if got := Serves(&corev1.Pod{Spec: corev1.PodSpec{Containers: c.containers}}, listed); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
