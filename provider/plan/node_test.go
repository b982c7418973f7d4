package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/tunnel"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

func nodeInput() NodeInput {
	return NodeInput{
		Now: noon, Name: "vnode.2ce92dca.dev",
		Heartbeat: tunnel.Heartbeat{
			Base: tunnel.BaseID{Env: "dev", Identity: "2ce92dca"}, Tunnel: "mqtt_tunnel_provider", Stack: tunnel.StackJava,
			Name: "base", Version: "1.0.0", Cluster: "default", IP: "127.0.0.1", Hostname: "local",
		},
		Message: "The base is heard",
	}
}

// The Node of the scheduling principles of Koupleless, sentence by sentence.
func TestNodeIsAsTheDocumentSays(t *testing.T) {
	node := Node(nodeInput(), nil)
	want := map[string]string{
		"base.koupleless.io/stack": "java", "virtual-kubelet.koupleless.io/component": "vnode",
		"virtual-kubelet.koupleless.io/env": "dev", "vnode.koupleless.io/name": "base",
		"vnode.koupleless.io/tunnel": "mqtt_tunnel_provider", "vnode.koupleless.io/version": "1.0.0",
		"base.koupleless.io/name": "base", "base.koupleless.io/version": "1.0.0",
		"base.koupleless.io/cluster-name": "default", "base.koupleless.io/host-name": "local",
		"kubernetes.io/hostname": "vnode.2ce92dca.dev", "type": "virtual-kubelet",
		"node.kubernetes.io/exclude-from-external-load-balancers": "true",
		"node.kubernetes.io/exclude-disruption":                   "true",
	}
	if d := cmp.Diff(want, node.Labels); d != "" {
		t.Errorf("labels (-want +got):\n%s", d)
	}
	taints := []corev1.Taint{
		{Key: "schedule.koupleless.io/virtual-node", Value: "True", Effect: "NoExecute"},
		{Key: "schedule.koupleless.io/node-env", Value: "dev", Effect: "NoExecute"},
	}
	if d := cmp.Diff(taints, node.Spec.Taints); d != "" {
		t.Errorf("taints (-want +got):\n%s", d)
	}
	addresses := []corev1.NodeAddress{{Type: "InternalIP", Address: "127.0.0.1"}, {Type: "Hostname", Address: "local"}}
	if d := cmp.Diff(addresses, node.Status.Addresses); d != "" {
		t.Errorf("addresses (-want +got):\n%s", d)
	}
	if NotReadyOf(node) != "" || node.Spec.ProviderID != "koupleless://dev/2ce92dca" {
		t.Errorf("not ready %q, provider id %q", NotReadyOf(node), node.Spec.ProviderID)
	}
}

// What a base told of its metaspace stays until it tells it anew: a new owner does not
// know it at first, nor does anybody while the base starts again.
func TestNodeKeepsWhatTheBaseToldBefore(t *testing.T) {
	in := nodeInput()
	in.Health = &tunnel.Health{MaxMemory: 256 << 20, UsedMemory: 54 << 20, CPUs: 2}
	told := Node(in, nil)
	in.Health = nil
	if d := cmp.Diff(told, Node(in, told)); d != "" {
		t.Errorf("without health it changes (-was +is):\n%s", d)
	}
	if unknown := Node(in, nil).Status.Capacity.Memory(); unknown.IsZero() {
		t.Error("a base that told nothing has no capacity")
	}
}

func TestNodeChangesNothingWhereNothingDiffers(t *testing.T) {
	in := nodeInput()
	in.Health = &tunnel.Health{MaxMemory: 256 << 20, UsedMemory: 54 << 20, CPUs: 2}
	node := Node(in, nil)
	in.Now = noon.Add(time.Minute)
	in.Health.UsedMemory += 1 << 20 // under 1/64 of the capacity
	if d := cmp.Diff(node, Node(in, node)); d != "" {
		t.Errorf("a second look changed (-first +second):\n%s", d)
	}
	in.Touch = true
	if at := Node(in, node).Status.Conditions[0].LastHeartbeatTime.Time; !at.Equal(in.Now) {
		t.Errorf("touched at %s, want %s", at, in.Now)
	}
}

// Module-controller v2.2.0 counts the Nodes of this phase, whoever made them. One that has none
// gets it with a write that is due anyway, and keeps it.
func TestNodeHasThePhaseThatOthersCountBy(t *testing.T) {
	in := nodeInput()
	node := Node(in, nil)
	if node.Status.Phase != corev1.NodeRunning {
		t.Errorf("a new Node has the phase %q", node.Status.Phase)
	}
	earlier := node.DeepCopy()
	earlier.Status.Phase = ""
	if d := cmp.Diff(earlier, Node(in, earlier)); d != "" {
		t.Errorf("a Node is written for it alone (-was +is):\n%s", d)
	}
	in.Touch, in.NotReady = true, ReasonBaseSilent
	touched := Node(in, earlier)
	if touched.Status.Phase != corev1.NodeRunning {
		t.Errorf("touched it has the phase %q", touched.Status.Phase)
	}
	in.Touch = false
	if d := cmp.Diff(touched, Node(in, touched)); d != "" {
		t.Errorf("a second look changed (-first +second):\n%s", d)
	}
}

func TestNodeKeepsWhatOthersWrote(t *testing.T) {
	in := nodeInput()
	node := Node(in, nil)
	node.Labels["team"], node.Annotations["note"] = "blue", "hands off"
	node.Spec.Unschedulable = true
	node.Spec.Taints = append(node.Spec.Taints, corev1.Taint{Key: "drain", Effect: "NoSchedule"})
	node.Status.Conditions = append(node.Status.Conditions, corev1.NodeCondition{Type: "Burning", Status: "False"})
	in.Heartbeat.Version, in.NotReady, in.Now = "2.0.0", ReasonBaseSilent, noon.Add(time.Minute)
	next := Node(in, node)
	if next.Labels["team"] != "blue" || next.Annotations["note"] != "hands off" || !next.Spec.Unschedulable ||
		len(next.Spec.Taints) != 3 || len(next.Status.Conditions) != 5 {
		t.Errorf("what others wrote is gone: %+v", next)
	}
	if next.Labels["vnode.koupleless.io/version"] != "2.0.0" || NotReadyOf(next) != ReasonBaseSilent {
		t.Errorf("what is ours did not follow: %v, %q", next.Labels, NotReadyOf(next))
	}
	ready := next.Status.Conditions[0]
	if !ready.LastTransitionTime.Time.Equal(in.Now) {
		t.Errorf("transition at %s, want %s", ready.LastTransitionTime, in.Now)
	}
}

func TestNodeMemoryIsTheMetaspace(t *testing.T) {
	for _, c := range []struct {
		name              string
		health            *tunnel.Health
		loaded            int64
		capacity, allowed string
	}{
		{"not told", nil, 0, "1Gi", "1Gi"},
		{"no limit", &tunnel.Health{MaxMemory: -1, UsedMemory: 52 << 20}, 0, "1Gi", "1Gi"},
		{"no limit, more used than is shown", &tunnel.Health{MaxMemory: -1, UsedMemory: 2 << 30}, 0, "1Gi", "1Gi"},
		{"absent, as 1.2.2", &tunnel.Health{MaxMemory: -1, UsedMemory: -1}, 0, "1Gi", "1Gi"},
		{"limit", &tunnel.Health{MaxMemory: 256 << 20, UsedMemory: 56 << 20}, 0, "256Mi", "200Mi"},
		{"a module that runs is counted once", &tunnel.Health{MaxMemory: 256 << 20, UsedMemory: 56 << 20}, 16 << 20, "256Mi", "216Mi"},
		{"requests beyond use", &tunnel.Health{MaxMemory: 256 << 20, UsedMemory: 56 << 20}, 100 << 20, "256Mi", "256Mi"},
		{"more used than there is", &tunnel.Health{MaxMemory: 64 << 20, UsedMemory: 70 << 20}, 0, "64Mi", "0"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := nodeInput()
			in.Health, in.Loaded = c.health, c.loaded
			s := Node(in, nil).Status
			if want := resource.MustParse(c.capacity); s.Capacity.Memory().Cmp(want) != 0 {
				t.Errorf("capacity %s, want %s", s.Capacity.Memory(), &want)
			}
			if want := resource.MustParse(c.allowed); s.Allocatable.Memory().Cmp(want) != 0 {
				t.Errorf("allocatable %s, want %s", s.Allocatable.Memory(), &want)
			}
		})
	}
}

func TestLeaseLabels(t *testing.T) {
	for _, c := range []struct {
		tunnel, name string
		want         map[string]string
	}{
		{"mqtt", "base", map[string]string{LabelTunnel: "mqtt", labelName: "base"}},
		{"mqtt", "", map[string]string{LabelTunnel: "mqtt"}},
		{"mqtt", "no label!", map[string]string{LabelTunnel: "mqtt", labelName: "no-label-a9ed9429"}},
	} {
		if d := cmp.Diff(c.want, LeaseLabels(tunnel.Heartbeat{Tunnel: c.tunnel, Name: c.name})); d != "" {
			t.Errorf("labels of %q (-want +got):\n%s", c.name, d)
		}
	}
}
