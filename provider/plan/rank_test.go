package plan

import (
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
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
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: hash, Controller: &yes}}
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
		{"the same revision", []Pod{podFor("a", "orders:1", old, revision("x")), podFor("b", "orders:1", revision("x"))}, []role{chosen, duplicate}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := newDemand(Input{Pods: c.pods}.completed()).name("orders")
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

func TestOldest(t *testing.T) {
	n := newDemand(Input{Pods: []Pod{podFor("b", "orders:1"), podFor("a", "orders:1", age(time.Hour))}}.completed()).name("orders")
	if w := n.oldest(module("orders:1")); w == nil || w.pod.Name != "a" {
		t.Errorf("the oldest is %+v, want a", w)
	}
	if w := n.oldest(module("orders:2")); w != nil {
		t.Errorf("the oldest is %+v, want none", w)
	}
	if n.has(module("orders:2")) || !n.has(module("orders:1")) || (&name{}).has(module("orders:1")) {
		t.Error("a name has what its chosen want is for")
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
	other := podFor("b", "orders:1", revision("y"))
	other.OwnerReferences[0].Kind = "StatefulSet"
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
		{"nobody's", was, podFor("b", "orders:1"), false},
		{"two of nobody", podFor("a", "orders:1"), podFor("b", "orders:1"), false},
		{"of another kind", was, other, false},
		{"without labels", was, bare, false},
	} {
		if got := laterRevision(c.older.Pod, c.newer.Pod); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
}
