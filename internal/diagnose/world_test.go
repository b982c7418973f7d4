package diagnose

import (
	"fmt"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/internal/fleet"
	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

const (
	ns     = "module-controller"
	prefix = "virtual-kubelet.koupleless.io/"
	mebi   = 1 << 20
)

// world is a fleet in the making: what the API server has. Nodes and the statuses of module
// pods are made by the product's own planner, so that they say what it says.
type world struct {
	fleet.Objects
	cluster fleet.Cluster
}

// sound is a fleet with which nothing is wrong: two members, three bases of orders-app, a pod
// of one module on each.
func sound() *world {
	w := &world{Objects: fleet.Objects{At: noon, Namespace: ns, Server: "v1.37.2", Owners: map[types.UID]fleet.Owner{}}}
	w.cluster = fleet.Cluster{Account: ns + "/module-controller"}
	for _, r := range fleet.Rights(ns) {
		w.cluster.Rights = append(w.cluster.Rights, fleet.Verdict{Right: r, Has: true, Asked: true})
	}
	w.member("mc-0", nil)
	w.member("mc-1", nil)
	for i, owner := range []string{"mc-0", "mc-1", "mc-0"} {
		id := fmt.Sprintf("base-%d", i+1)
		w.base(id, owner)
		w.module(fmt.Sprintf("orders-%d", i+1), id, func(in *plan.Input) {
			in.Seen.Modules = []tunnel.Module{{ModuleKey: orders, State: tunnel.Activated}}
		})
	}
	for _, name := range []string{"mc-0", "mc-1"} {
		w.Replicas = append(w.Replicas, corev1.Pod{
			ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name},
			Spec:       corev1.PodSpec{Containers: []corev1.Container{{Name: "module-controller", Env: []corev1.EnvVar{{Name: "ENV", Value: "default"}}}}},
			Status:     corev1.PodStatus{Phase: corev1.PodRunning, Conditions: []corev1.PodCondition{{Type: corev1.PodReady, Status: corev1.ConditionTrue}}},
		})
	}
	return w
}

var orders = tunnel.ModuleKey{Name: "orders", Version: "1.0.0"}

const jar = "https://repo.example.com/orders-1.0.0-ark-biz.jar"

func session(pod string) string { return pod + "_0123abcd" }

// member makes a membership Lease as election writes it.
func (w *world) member(name string, change func(l *coordinationv1.Lease)) {
	holder, seconds, at := session(name), int32(10), metav1.NewMicroTime(noon.Add(-time.Second))
	l := coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: map[string]string{prefix + "component": "module-controller"}, Annotations: map[string]string{
			prefix + "state": "serving", prefix + "tunnels": "up", prefix + "act-window": "3.5s", prefix + "environments": "default",
			prefix + "version": "v1", prefix + "watch": "live", prefix + "requests-obeyed-by": holder, prefix + "bases-owned": "0", prefix + "bases-wanted": "0",
		}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &at},
	}
	if change != nil {
		change(&l)
	}
	w.MemberLeases = append(w.MemberLeases, l)
}

// memberOf gives a membership Lease to be changed.
func (w *world) memberOf(name string) *coordinationv1.Lease {
	for i := range w.MemberLeases {
		if w.MemberLeases[i].Name == name {
			return &w.MemberLeases[i]
		}
	}
	panic("no member " + name)
}

func nodeName(identity string) string { return "vnode." + identity + ".default" }

// heart is a heartbeat of a base over MQTT.
func heart(identity string) tunnel.Heartbeat {
	return tunnel.Heartbeat{Base: tunnel.BaseID{Env: "default", Identity: identity}, Tunnel: "mqtt_tunnel_provider", Sender: tunnel.Sender{Bound: true},
		Name: "shop", Version: "1.0.0", Cluster: "default", IP: "10.0.0.7", Hostname: identity}
}

// base makes a base's Node and Lease.
func (w *world) base(identity, owner string, change ...func(*plan.NodeInput)) {
	in := plan.NodeInput{Now: noon, Name: nodeName(identity), Heartbeat: heart(identity), Health: &tunnel.Health{MaxMemory: 256 * mebi, UsedMemory: 54 * mebi, CPUs: 4},
		Message: "The base sends messages", ServerVersion: w.Server, Noted: true}
	for _, c := range change {
		c(&in)
	}
	w.Nodes = append(w.Nodes, *plan.Node(in, nil))
	holder, seconds, epoch, at := session(owner), int32(40), int32(1), metav1.NewMicroTime(noon.Add(-20*time.Second))
	w.BaseLeases = append(w.BaseLeases, coordinationv1.Lease{
		ObjectMeta: metav1.ObjectMeta{Namespace: corev1.NamespaceNodeLease, Name: in.Name, Labels: map[string]string{
			prefix + "component": "vnode-lease", prefix + "env": "default", prefix + "owner": owner, prefix + "state": "owned", prefix + "installation": ns,
		}},
		Spec: coordinationv1.LeaseSpec{HolderIdentity: &holder, LeaseDurationSeconds: &seconds, LeaseTransitions: &epoch, RenewTime: &at},
	})
}

func (w *world) node(identity string) *corev1.Node {
	for i := range w.Nodes {
		if w.Nodes[i].Name == nodeName(identity) {
			return &w.Nodes[i]
		}
	}
	panic("no node " + identity)
}

func (w *world) lease(identity string) *coordinationv1.Lease {
	for i := range w.BaseLeases {
		if w.BaseLeases[i].Name == nodeName(identity) {
			return &w.BaseLeases[i]
		}
	}
	panic("no lease " + identity)
}

func (w *world) pod(name string) *corev1.Pod {
	for i := range w.Modules {
		if w.Modules[i].Name == name {
			return &w.Modules[i]
		}
	}
	panic("no pod " + name)
}

// ages makes a base as old as lifecycle finds it.
func (w *world) ages(identity string, change func(*lifecycle.AgeInput)) {
	in := lifecycle.AgeInput{Now: noon, LastSeen: noon, Heard: noon, ServedSince: noon.Add(-time.Hour), Link: tunnel.Link{Up: true, Since: noon.Add(-time.Hour)}, Config: lifecycle.Config{}.Complete()}
	change(&in)
	age := lifecycle.AgeOf(in)
	n := w.node(identity)
	*n = *plan.Node(plan.NodeInput{Now: noon, Name: n.Name, Heartbeat: heart(identity), NotReady: age.NotReady, Message: age.Message}, n)
	for i := range w.Modules {
		p := &w.Modules[i]
		if p.Spec.NodeName == n.Name {
			in := inputOf(identity, p)
			in.Live, in.NotReady = false, age.NotReady
			p.Status = plan.Modules(in).Statuses[0].Status
		}
	}
}

// spec is a module's pod as the README has it.
func spec(name string) *corev1.Pod {
	labels := map[string]string{"app": "orders", plan.LabelComponent: plan.ComponentModule}
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: "team", Name: name, UID: types.UID(name), Labels: labels, CreationTimestamp: metav1.NewTime(noon.Add(-10 * time.Minute))},
		Spec: corev1.PodSpec{
			Containers: []corev1.Container{{Name: "orders", Image: jar, Env: []corev1.EnvVar{{Name: plan.EnvVersion, Value: "1.0.0"}},
				Resources: corev1.ResourceRequirements{Requests: corev1.ResourceList{corev1.ResourceMemory: resource.MustParse("20Mi")}}}},
			NodeSelector: map[string]string{plan.LabelComponent: plan.ComponentVNode, "vnode.koupleless.io/name": "shop"},
			Tolerations: []corev1.Toleration{
				{Key: plan.TaintVNode, Operator: corev1.TolerationOpEqual, Value: "True", Effect: corev1.TaintEffectNoExecute},
				{Key: plan.TaintEnv, Operator: corev1.TolerationOpEqual, Value: "default", Effect: corev1.TaintEffectNoExecute},
			},
			Affinity: &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
				LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "orders"}}, TopologyKey: corev1.LabelHostname,
			}}}},
		},
		Status: corev1.PodStatus{Phase: corev1.PodPending},
	}
}

// inputOf is what is known of a base that is well, for one pod.
func inputOf(identity string, p *corev1.Pod) plan.Input {
	return plan.Input{
		Now: noon, BaseID: tunnel.BaseID{Env: "default", Identity: identity}, IP: "10.0.0.7", Bound: true, Live: true,
		Since: noon.Add(-time.Hour), LinkSince: noon.Add(-time.Hour), Seen: plan.Seen{Listed: noon},
		Memory: plan.Memory{Attempts: map[string]plan.Attempt{}, Failures: map[tunnel.ModuleKey]plan.Failure{}, Installed: map[tunnel.ModuleKey]bool{}, Starts: map[tunnel.ModuleKey]time.Time{}},
		Pods:   []plan.Pod{{Pod: p}},
	}
}

// module makes a pod that is bound to a base, and has the planner say what it shows.
func (w *world) module(name, identity string, change ...func(*plan.Input)) *corev1.Pod {
	p := spec(name)
	p.Spec.NodeName = nodeName(identity)
	in := inputOf(identity, p)
	for _, c := range change {
		c(&in)
	}
	p.Status = plan.Modules(in).Statuses[0].Status
	w.Modules = append(w.Modules, *p)
	return &w.Modules[len(w.Modules)-1]
}

// failing has the install of orders have failed so often.
func failing(times int, message string) func(*plan.Input) {
	return func(in *plan.Input) {
		in.Memory.Failures[orders] = plan.Failure{Purpose: plan.Purpose{Verb: tunnel.InstallModule, URL: in.Pods[0].Spec.Containers[0].Image},
			Count: times, Message: message, At: noon, NotBefore: noon.Add(20 * time.Second)}
	}
}

// unplacedPod makes a pod of which the scheduler says why it has no Node.
func (w *world) unplacedPod(name, says string, change ...func(*corev1.Pod)) {
	p := spec(name)
	for _, c := range change {
		c(p)
	}
	p.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: corev1.PodReasonUnschedulable, Message: says}}
	w.Modules = append(w.Modules, *p)
}

// event makes an Event about a Node or a pod.
func (w *world) event(kind, namespace, name, reason, message string) {
	w.Events = append(w.Events, corev1.Event{
		InvolvedObject: corev1.ObjectReference{Kind: kind, Namespace: namespace, Name: name}, Reason: reason, Message: message, Type: corev1.EventTypeWarning,
		LastTimestamp: metav1.NewTime(noon.Add(-time.Minute)), Source: corev1.EventSource{Component: "module-controller"},
	})
}

func (w *world) snapshot() *fleet.Snapshot { return fleet.Build(w.Objects) }
