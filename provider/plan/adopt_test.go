package plan

import (
	"fmt"
	"maps"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

func TestAdoptReadsBackWhatNodeWrote(t *testing.T) {
	in := nodeInput()
	in.Heartbeat.Base.Identity, in.Heartbeat.Name, in.Heartbeat.Port = "Base 1", "a name that is no label!", 1238
	in.Name, _ = NodeName(in.Heartbeat.Base)
	noted := map[tunnel.ModuleKey]bool{{Name: "orders", Version: "1.0.0"}: true, {Name: "stock", Version: "2"}: true}
	node := Node(in, nil)
	maps.Copy(node.Annotations, LeaseNotes(noted)) // as an earlier version did
	beat, installed, err := Adopt(node)
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(in.Heartbeat, beat); d != "" {
		t.Errorf("base (-want +got):\n%s", d)
	}
	if d := cmp.Diff(noted, installed); d != "" {
		t.Errorf("installed (-want +got):\n%s", d)
	}
	if is := Node(in, node); is.Annotations[annotationInst] == "" {
		t.Error("what an earlier version wrote is gone before the Lease tells it")
	}
	in.Noted = true
	if is := Node(in, node); is.Annotations[annotationInst] != "" {
		t.Error("the Lease tells it, and the Node does")
	}
	if _, _, err := Adopt(&corev1.Node{}); err == nil {
		t.Error("a Node of nobody was adopted")
	}
}

// The note on a Lease says what is installed, or that nothing is, or nothing; it is bounded.
func TestNotes(t *testing.T) {
	for name, want := range map[string]map[tunnel.ModuleKey]bool{
		"nothing": {}, "one": {module("orders:1"): true}, "two": {module("orders:1"): true, module("stock:2"): true},
	} {
		if d := cmp.Diff(want, Noted(LeaseNotes(want))); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	if got := Noted(map[string]string{"other": "x"}); got != nil {
		t.Errorf("a Lease without a note tells %v", got)
	}
	many := map[tunnel.ModuleKey]bool{}
	for n := range 1024 {
		many[tunnel.ModuleKey{Name: fmt.Sprintf("%0128d", n), Version: strings.Repeat("1", 128)}] = true
	}
	text := LeaseNotes(many)[annotationInst]
	if got := len(Noted(LeaseNotes(many))); len(text) > maxInstalled || got < maxInstalled/300 {
		t.Errorf("of many %d are told, by %d bytes", got, len(text))
	}
}

// A Node of module-controller v2.2.0 has one of the two families of labels, and none of its
// tunnel: without a port its base is reached by topics, and with one it is dialed.
func TestAdoptReadsANodeOfAnotherController(t *testing.T) {
	for name, c := range map[string]struct {
		port string
		want tunnel.Heartbeat
	}{
		"over MQTT": {"", tunnel.Heartbeat{Tunnel: TunnelOfTopics}},
		"over HTTP": {"1238", tunnel.Heartbeat{Tunnel: TunnelOfPorts, Port: 1238}},
	} {
		labels := map[string]string{
			LabelComponent: ComponentVNode, LabelEnv: "dev", "base.koupleless.io/name": "shop", "base.koupleless.io/version": "2.0",
			"base.koupleless.io/cluster-name": "east", "base.koupleless.io/host-name": "shop-0", corev1.LabelHostname: "shop-0", "kubernetes.io/role": "agent",
		}
		if c.port != "" {
			labels[LabelPort] = c.port
		}
		node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: "vnode.10.0.0.7.dev", Labels: labels}, Status: corev1.NodeStatus{Addresses: []corev1.NodeAddress{
			{Type: corev1.NodeInternalIP, Address: "10.0.0.7"}, {Type: corev1.NodeHostName, Address: "shop-0"},
		}}}
		c.want.Base = tunnel.BaseID{Env: "dev", Identity: "10.0.0.7"}
		c.want = c.want.WithAbout(tunnel.About{Name: "shop", Version: "2.0", Cluster: "east", IP: "10.0.0.7", Hostname: "shop-0"})
		beat, installed, err := Adopt(node)
		if err != nil || len(installed) > 0 {
			t.Fatalf("%s: %v, installed %v", name, err, installed)
		}
		if d := cmp.Diff(c.want, beat); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
}
