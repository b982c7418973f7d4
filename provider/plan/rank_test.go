package plan

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

func TestTheSameModuleTwice(t *testing.T) {
	s := newSim(overMQTT)
	s.pod("first", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.pod("second", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.want(t, map[string]string{"first": "Running", "second": ReasonDuplicate}, "orders:1")
	s.delete("first")
	s.rounds(3)
	s.want(t, map[string]string{"first": "gone", "second": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1")
}

func TestALaterRevisionTakesTheSameVersionOver(t *testing.T) {
	s := newSim(overMQTT)
	yes := true
	revise := func(p *corev1.Pod, hash string) {
		p.Labels = map[string]string{"pod-template-hash": hash}
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: "orders-" + hash, Controller: &yes}}
	}
	revise(s.pod("old", "orders", "1", urlOf("orders", "1")), "aaa")
	s.rounds(3)
	revise(s.pod("new", "orders", "1", urlOf("orders", "1")), "bbb")
	s.rounds(5)
	s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:1")
	s.delete("old")
	s.rounds(5)
	s.want(t, map[string]string{"old": "gone", "new": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1", "install orders:1 replacing")
}

// Which pod's module is to serve: roles in the order of the pods' names.
func TestChoose(t *testing.T) {
	old, older := age(2*time.Minute), age(3*time.Minute)
	for _, c := range []struct {
		name  string
		pods  []Pod
		want  []role
		fresh bool // the chosen one
	}{
		{"alone", []Pod{podFor("a", "orders:1")}, []role{chosen}, false},
		{"a newer version", []Pod{podFor("a", "orders:1", old), podFor("b", "orders:2")}, []role{superseded, chosen}, false},
		{"a newer version that is older", []Pod{podFor("a", "orders:1"), podFor("b", "orders:2", old)}, []role{chosen, superseded}, false},
		{"the same version", []Pod{podFor("a", "orders:1", old), podFor("b", "orders:1")}, []role{chosen, duplicate}, false},
		{"back again", []Pod{podFor("a", "orders:1", older), podFor("b", "orders:2", old), podFor("c", "orders:1")}, []role{superseded, superseded, chosen}, false},
		{"a duplicate is superseded", []Pod{podFor("a", "orders:1", older), podFor("b", "orders:1", old), podFor("c", "orders:2")}, []role{superseded, superseded, chosen}, false},
		{"a later revision", []Pod{podFor("a", "orders:1", old, revision("x")), podFor("b", "orders:1", revision("y"))}, []role{superseded, chosen}, true},
		{"a later revision that runs", []Pod{podFor("a", "orders:1", old, revision("x")), podFor("b", "orders:1", revision("y"), ran("file:///x.jar"))}, []role{superseded, chosen}, false},
		{"a rollback", []Pod{podFor("a", "orders:1", old, numbered("w", 3)), podFor("b", "orders:2", numbered("w", 2))}, []role{chosen, superseded}, false},
		{"a rollback, already seen", []Pod{podFor("a", "orders:1", old, numbered("w", 3), ran("x")), podFor("b", "orders:2", numbered("w", 2), waits(ReasonSuperseded))}, []role{chosen, superseded}, false},
		{"a rollback to the same version", []Pod{podFor("a", "orders:1", old, numbered("w", 3)), podFor("b", "orders:1", numbered("w", 2), ran("x"))}, []role{chosen, superseded}, true},
		{"of equal numbers the newer version", []Pod{podFor("a", "orders:1", old, numbered("w", 2)), podFor("b", "orders:2", numbered("w", 2))}, []role{superseded, chosen}, false},
		{"a number that only one has says nothing", []Pod{podFor("a", "orders:1", old, numbered("w", 3)), podFor("b", "orders:2", numbered("w", 0))}, []role{superseded, chosen}, false},
		{"two workloads, one version", []Pod{podFor("a", "orders:1", old, numbered("v", 1)), podFor("b", "orders:1", numbered("w", 9))}, []role{chosen, duplicate}, false},
		{"two workloads, and the newer has it", []Pod{podFor("a", "orders:1", old, numbered("v", 1), waits(ReasonDuplicate)), podFor("b", "orders:1", numbered("w", 9), ran("x"))}, []role{duplicate, chosen}, false},
		{"two workloads, and the newer begins with it", []Pod{podFor("a", "orders:1", old, numbered("v", 1), waits(ReasonDuplicate)), podFor("b", "orders:1", numbered("w", 9), waits(ReasonInstallBackOff))}, []role{duplicate, chosen}, false},
		{"two workloads, and nobody has it any more", []Pod{podFor("a", "orders:1", old, numbered("v", 1), waits(ReasonConflict)), podFor("b", "orders:2", numbered("w", 9))}, []role{chosen, contested}, false},
		{"two workloads, two versions", []Pod{podFor("a", "orders:1", old, numbered("v", 1)), podFor("b", "orders:2", numbered("w", 9))}, []role{chosen, contested}, false},
		{"two workloads, and a revision of the one that has it", []Pod{podFor("a", "orders:1", older, numbered("v", 1), ran("x")), podFor("b", "orders:2", old, numbered("w", 9)), podFor("c", "orders:3", numbered("v", 2))}, []role{superseded, contested, chosen}, false},
		{"a bare pod and a workload", []Pod{podFor("a", "orders:1", old, bare), podFor("b", "orders:2", revision("x"))}, []role{chosen, contested}, false},
		{"two bare pods, two versions", []Pod{podFor("a", "orders:1", old, bare), podFor("b", "orders:2", bare)}, []role{superseded, chosen}, false},
		{"two bare pods, one version", []Pod{podFor("a", "orders:1", old, bare), podFor("b", "orders:1", bare)}, []role{chosen, duplicate}, false},
		{"bare pods of two namespaces, two versions", []Pod{podFor("a", "orders:1", old, bare), podFor("b", "orders:2", bare, elsewhere)}, []role{chosen, contested}, false},
		{"bare pods of two namespaces, one version", []Pod{podFor("a", "orders:1", old, bare), podFor("b", "orders:1", bare, elsewhere)}, []role{chosen, duplicate}, false},
		{"bare pods of two namespaces, and the newer has it", []Pod{podFor("a", "orders:1", old, bare, waits(ReasonConflict)), podFor("b", "orders:2", bare, elsewhere, ran("x"))}, []role{contested, chosen}, false},
		{"the same revision", []Pod{podFor("a", "orders:1", old, revision("x")), podFor("b", "orders:1", revision("x"))}, []role{chosen, duplicate}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := demandOf(Input{Pods: c.pods}).name("orders")
			roles := map[string]role{}
			for _, w := range n.wants {
				roles[w.pod.Name] = w.role
			}
			var got []role
			for _, p := range c.pods {
				got = append(got, roles[p.Name])
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("roles %v, want %v", got, c.want)
			}
			if n.chosen.role != chosen {
				t.Errorf("the chosen one, %s, has role %d", n.chosen.pod.Name, n.chosen.role)
			}
			if n.chosen.fresh != c.fresh {
				t.Errorf("fresh %v", n.chosen.fresh)
			}
		})
	}
}

func TestNameHas(t *testing.T) {
	n := demandOf(Input{Pods: []Pod{podFor("b", "orders:1"), podFor("a", "orders:1", age(time.Hour))}}).name("orders")
	if n.has(module("orders:2")) || !n.has(module("orders:1")) || (&name{}).has(module("orders:1")) {
		t.Error("a name has what its chosen want is for")
	}
}

// What was just installed for a pod is that pod's, though its version suits an older one.
func TestWhatBeginsToServeHasItsName(t *testing.T) {
	older := podFor("a", "orders:1", age(time.Hour), numbered("v", 1), waits(ReasonConflict))
	for reason, want := range map[string]string{ReasonInstalling: "b", ReasonConflict: "a"} {
		in := onBase("orders:1 activated").with(older, podFor("b", "orders:1", numbered("w", 1), waits(reason)))
		if got := demandOf(in).name("orders").chosen.pod.Name; got != want {
			t.Errorf("%s: %s has it, want %s", reason, got, want)
		}
	}
}

// Pods of the same second keep the order in which they were seen.
func TestCompareWants(t *testing.T) {
	order := []Pod{
		podFor("d", "orders:1", age(2*time.Minute)), podFor("c", "orders:1", waits(ReasonSuperseded)), podFor("e", "orders:1", ran("x")),
		podFor("b", "orders:1", waits(ReasonInstalling)), podFor("a", "orders:1"), podFor("f", "orders:1"),
	}
	for i := range order[1:] {
		a, b := wantOf(order[i], moduleSpecOf(order[i].Spec.Containers[0])), wantOf(order[i+1], moduleSpecOf(order[i+1].Spec.Containers[0]))
		if compareWants(a, b) >= 0 || compareWants(b, a) <= 0 {
			t.Errorf("%s is not before %s", order[i].Name, order[i+1].Name)
		}
	}
}

func TestLaterRevision(t *testing.T) {
	bare := podFor("b", "orders:1", revision("y"))
	bare.Labels = nil
	set := podFor("b", "orders:1", revision("x"))
	set.Labels["controller-revision-hash"] = "2"
	was := podFor("a", "orders:1", revision("x"))
	was.Labels["controller-revision-hash"] = "1"
	for _, c := range []struct {
		name         string
		older, newer Pod
		want         bool
	}{
		{"another hash", was, podFor("b", "orders:1", revision("y")), true},
		{"the same hash", podFor("a", "orders:1", revision("x")), podFor("b", "orders:1", revision("x")), false},
		{"another controller revision", was, set, true},
		{"two of nobody", podFor("a", "orders:1"), podFor("b", "orders:1"), false},
		{"without labels", was, bare, false},
		{"another number", podFor("a", "orders:1", numbered("w", 2)), podFor("b", "orders:1", numbered("w", 1)), true},
		{"the same number", podFor("a", "orders:1", revision("x"), numbered("w", 2)), podFor("b", "orders:1", revision("y"), numbered("w", 2)), false},
	} {
		if got := laterRevision(c.older, c.newer); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}

// What pods are told to be of one workload by.
func TestWorkloadOf(t *testing.T) {
	set := podFor("c", "orders:1", revision("x"))
	set.OwnerReferences[0].Kind, set.OwnerReferences[0].Name = "StatefulSet", "orders"
	rollout := podFor("d", "orders:1", revision("x"))
	rollout.Labels = map[string]string{"rollouts-pod-template-hash": "x"}
	for _, c := range []struct {
		name string
		pod  Pod
		want string
	}{
		{"what is known", podFor("a", "orders:1", revision("x"), numbered("w", 1)), "w"},
		{"a ReplicaSet's, by its name", podFor("a", "orders:1", revision("x")), "ReplicaSet//orders"},
		{"a rollout's", rollout, "ReplicaSet//orders"},
		{"in another namespace", podFor("b", "orders:1", revision("y"), elsewhere), "ReplicaSet/b/orders"},
		{"the owner", set, "x"},
		{"nobody's", podFor("a", "orders:1", bare, elsewhere), "Pod/b"},
	} {
		if got := workloadOf(c.pod); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// Two Deployments that want one module: whoever has it keeps it, nothing is restarted, and
// the other has it once the first is gone.
func TestTwoWorkloadsTakeNoTurns(t *testing.T) {
	for version, reason := range map[string]string{"1": ReasonDuplicate, "2": ReasonConflict} {
		t.Run(reason, func(t *testing.T) {
			s := newSim(overMQTT)
			own(s.pod("a", "orders", "1", urlOf("orders", "1")), "team-a", 1)
			s.rounds(3)
			own(s.pod("b", "orders", version, urlOf("orders", version)), "team-b", 7)
			s.rounds(20)
			s.want(t, map[string]string{"a": "Running", "b": reason}, "orders:1")
			s.delete("a") // its Deployment makes another one
			own(s.pod("a2", "orders", "1", urlOf("orders", "1")), "team-a", 1)
			s.rounds(20)
			if version == "1" {
				s.want(t, map[string]string{"a": "gone", "a2": ReasonDuplicate, "b": "Running"}, "orders:1")
			} else { // version 1 serves, and is not taken away
				s.want(t, map[string]string{"a": "gone", "a2": "Running", "b": ReasonConflict}, "orders:1")
				s.delete("a2")
				s.rounds(20)
				s.want(t, map[string]string{"a2": "gone", "b": "Running"}, "orders:2")
			}
			if n := s.installs[module("orders:1")]; n != 1 {
				t.Errorf("version 1 was installed %d times", n)
			}
		})
	}
}

// Pods without a controller are a workload of their namespace: a newer one of another tenant
// waits until they are gone.
func TestABarePodTakesNothingFromAnother(t *testing.T) {
	for name, features := range bothTunnels {
		t.Run(name, func(t *testing.T) {
			s := newSim(features)
			s.bare = true
			s.pod("mine", "orders", "1", urlOf("orders", "1"))
			s.rounds(5)
			s.pod("theirs", "orders", "2", urlOf("orders", "2")).Namespace = "b"
			s.rounds(20)
			s.want(t, map[string]string{"mine": "Running", "theirs": ReasonConflict}, "orders:1")
			s.delete("mine")
			s.rounds(10)
			s.want(t, map[string]string{"mine": "gone", "theirs": "Running"}, "orders:2")
		})
	}
}

// A rollback within minReadySeconds: no pod is deleted before the old one serves again.
func TestARollbackNumbersAnOldRevisionAnew(t *testing.T) {
	for name, features := range map[string]tunnel.Features{"over HTTP": overHTTP, "over MQTT": overMQTT} {
		t.Run(name, func(t *testing.T) {
			s := newSim(features)
			first := own(s.pod("v1", "orders", "1", urlOf("orders", "1")), "w", 1)
			s.rounds(3)
			own(s.pod("v2", "orders", "2", urlOf("orders", "2")), "w", 2)
			s.rounds(8)
			s.want(t, map[string]string{"v1": ReasonSuperseded, "v2": "Running"}, "orders:2")
			own(first, "w", 3)
			s.rounds(8)
			s.want(t, map[string]string{"v1": "Running", "v2": ReasonSuperseded}, "orders:1")
			done := len(s.log)
			s.rounds(20)
			s.delete("v2")
			s.rounds(5)
			s.want(t, map[string]string{"v1": "Running", "v2": "gone"}, "orders:1")
			if done < len(s.log)-1 {
				t.Errorf("commands %v", s.log)
			}
		})
	}
}

// A restart of one version hands it over once, and so does the restart's rollback.
func TestARestartAndItsRollbackInstallOnceEach(t *testing.T) {
	s := newSim(overMQTT)
	first := own(s.pod("a", "orders", "1", urlOf("orders", "1")), "w", 1)
	s.rounds(3)
	own(s.pod("b", "orders", "1", urlOf("orders", "1")), "w", 2)
	s.rounds(8)
	s.want(t, map[string]string{"a": ReasonSuperseded, "b": "Running"}, "orders:1")
	own(first, "w", 3)
	s.rounds(8)
	s.want(t, map[string]string{"a": "Running", "b": ReasonSuperseded}, "orders:1")
	s.rounds(20)
	s.wantLog(t, "install orders:1", "install orders:1 replacing", "install orders:1 replacing")
}
