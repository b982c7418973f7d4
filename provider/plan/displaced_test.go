package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ownedBy gives a pod a controller of a kind.
func ownedBy(kind string) func(*Pod) {
	return func(p *Pod) { p.OwnerReferences = []metav1.OwnerReference{{Kind: kind, Controller: new(true)}} }
}

// A base that ends displaces the pods of which others are made, and which may be elsewhere.
func TestWhichPodsAreDisplaced(t *testing.T) {
	of := ownedBy("ReplicaSet")
	for _, c := range []struct {
		name string
		pod  Pod
		want bool
	}{
		{"a ReplicaSet's", podFor("p", "orders:1", of), true},
		{"a StatefulSet's", podFor("p", "orders:1", ownedBy("StatefulSet")), true},
		{"a DaemonSet's", podFor("p", "orders:1", ownedBy("DaemonSet")), false},
		{"nobody's", podFor("p", "orders:1"), false},
		{"one that has an owner and no controller", podFor("p", "orders:1", of, func(p *Pod) { p.OwnerReferences[0].Controller = nil }), false},
		{"one that terminates", podFor("p", "orders:1", of, terminating), false},
		{"one that is gone", podFor("p", "orders:1", of, gone), false},
		{"one that has ended", podFor("p", "orders:1", of, succeeding), false},
		{"one of the same second", podFor("p", "orders:1", of, age(0)), true},
		{"one that came since", podFor("p", "orders:1", of, age(-time.Second)), false},
	} {
		if got := Displaced(shunned(nil), []Pod{c.pod}); len(got) == 1 != c.want {
			t.Errorf("%s: displaced %v, want %v", c.name, len(got), c.want)
		}
	}
}

// No pod is displaced while the next one could be placed on the same Node.
func TestNoPodIsDisplacedBeforeItsNodeIsShunned(t *testing.T) {
	taint := func(change func(*corev1.Taint)) func(*corev1.Node) {
		return func(n *corev1.Node) { change(&n.Spec.Taints[len(n.Spec.Taints)-1]) }
	}
	for name, change := range map[string]func(*corev1.Node){
		"no taint":        func(n *corev1.Node) { n.Spec.Taints = nil },
		"another key":     taint(func(t *corev1.Taint) { t.Key = corev1.TaintNodeUnschedulable }),
		"another effect":  taint(func(t *corev1.Taint) { t.Effect = corev1.TaintEffectNoExecute }),
		"a taint of then": func(n *corev1.Node) { n.Status.Conditions[0].Status = corev1.ConditionTrue },
		"no condition":    func(n *corev1.Node) { n.Status.Conditions = nil },
	} {
		if got := Displaced(shunned(change), []Pod{podFor("p", "orders:1", ownedBy("ReplicaSet"))}); len(got) > 0 {
			t.Errorf("%s: displaced", name)
		}
	}
	if len(Displaced(nil, []Pod{podFor("p", "orders:1", ownedBy("ReplicaSet"))})) > 0 {
		t.Error("no Node: displaced")
	}
}

// shunned is a Node that is not ready since noon, as Kubernetes has tainted it.
func shunned(change func(*corev1.Node)) *corev1.Node {
	n := &corev1.Node{
		Spec: corev1.NodeSpec{Taints: []corev1.Taint{{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule}}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{{
			Type: corev1.NodeReady, Status: corev1.ConditionFalse, LastTransitionTime: metav1.NewTime(noon),
		}}},
	}
	if change != nil {
		change(n)
	}
	return n
}

// A terminating pod has ended with the process of its base, and not before, whatever is listed.
func TestPodsEndWithTheProcess(t *testing.T) {
	for _, ended := range []bool{false, true} {
		in := onBase("orders:1 activated").with(podFor("p", "orders:1", ran(urlOf("orders", "1")), terminating), podFor("q", "stock:1"))
		in.Live, in.NotReady, in.Ended = !ended, ReasonBasePodDeleted, ended
		out := Modules(in)
		if got := statusIn(out, "p").Finished; got != ended || statusIn(out, "q").Finished || len(out.Commands) > 0 {
			t.Errorf("ended %v: finished %v, commands %v", ended, got, out.Commands)
		}
	}
}
