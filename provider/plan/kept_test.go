package plan

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A pod that cannot be installed now has the name of what it runs: it loses it to no other
// workload, and shows it when its own workload takes it away.
func TestAnUnfitPodKeepsItsPlace(t *testing.T) {
	unresolved := func(s *sim, p *corev1.Pod) { s.unresolved[p.UID] = true }
	invalid := func(_ *sim, p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://x" }
	withheld := func(s *sim, _ *corev1.Pod) {
		s.secrets = map[string]bool{"old": true}
	}
	for _, c := range []struct {
		name     string
		unfit    func(*sim, *corev1.Pod)
		version  string
		workload string
		old, pod string
		serves   string
	}{
		{"unresolved, another workload's version", unresolved, "2", "v", "Running", ReasonConflict, "orders:1"},
		{"unresolved, another workload's same version", unresolved, "1", "v", "Running", ReasonDuplicate, "orders:1"},
		{"withheld, another workload's version", withheld, "2", "v", "Running", ReasonConflict, "orders:1"},
		{"withheld, another workload's same version", withheld, "1", "v", "Running", ReasonDuplicate, "orders:1"},
		{"invalid, another workload's version", invalid, "2", "v", ReasonInvalid, ReasonConflict, "orders:1"},
		{"unresolved, its own next revision", unresolved, "2", "w", ReasonConfigError, "Running", "orders:2"},
		{"unresolved, its own next revision of the same version", unresolved, "1", "w", ReasonSuperseded, "Running", "orders:1"},
	} {
		for name, features := range bothTunnels {
			t.Run(c.name+" "+name, func(t *testing.T) {
				s := newSim(features)
				old := own(s.pod("old", "orders", "1", urlOf("orders", "1")), "w", 1)
				s.rounds(5)
				c.unfit(s, old)
				s.rounds(5)
				own(s.pod("new", "orders", c.version, urlOf("orders", c.version)), c.workload, 2)
				for range 30 {
					s.round()
					if s.isReady("old") && s.isReady("new") {
						t.Fatal("both pods show that they serve")
					}
				}
				s.want(t, map[string]string{"old": c.old, "new": c.pod}, c.serves)
			})
		}
	}
}

// A version that an older revision gave way to stays away while the pod that has the name
// cannot be read.
func TestAnUnfitPodIsNotSuperseded(t *testing.T) {
	s := newSim(overHTTP)
	own(s.pod("old", "orders", "1", urlOf("orders", "1")), "w", 1)
	s.rounds(5)
	pod := own(s.pod("new", "orders", "2", urlOf("orders", "2")), "w", 2)
	s.rounds(10)
	done := len(s.log)
	s.unresolved[pod.UID] = true
	s.rounds(30)
	s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:2")
	if len(s.log) > done {
		t.Errorf("commands %v", s.log[done:])
	}
	s.restart() // nothing of it is left to keep, so the older one serves
	s.rounds(30)
	s.want(t, map[string]string{"old": "Running", "new": ReasonConfigError}, "orders:1")
	s.unresolved = nil
	s.rounds(30)
	s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:2")
}

// Nothing is installed for a pod that cannot be read: what it runs is neither renewed nor
// installed anew, and what is broken has no place.
func TestNothingIsInstalledForAnUnfitPod(t *testing.T) {
	running := func(p *Pod) {
		ran(urlOf("orders", "1"))(p)
		p.Status.ContainerStatuses[0].ContainerID = "koupleless://b/orders:1/1"
	}
	for _, c := range []struct {
		name  string
		list  []string
		pod   Pod
		wants int
		want  string
	}{
		{"it serves", []string{"orders:1 activated"}, podFor("p", "orders:1", running, noSecret), 1, ""},
		{"from another image", []string{"orders:1 activated"}, podFor("p", "orders:1", running, noSecret, image("file:///new.jar")), 1, ""},
		{"its version is not known", []string{"orders:1 activated"}, podFor("p", "orders:", running, noSecret), 1, ""},
		{"it starts", []string{"orders:1 resolved"}, podFor("p", "orders:1", running, noSecret), 1, ""},
		{"it is deactivated", []string{"orders:1 deactivated"}, podFor("p", "orders:1", running, noSecret), 1, ""},
		{"it is broken", []string{"orders:1 broken"}, podFor("p", "orders:1", running, noSecret), 0, ""},
		{"it is gone", nil, podFor("p", "orders:1", running, noSecret), 0, ""},
		{"it never ran", []string{"orders:1 activated"}, podFor("p", "orders:1", noSecret), 0, ""},
	} {
		in := onBase(c.list...).with(c.pod)
		p := newPlanner(in)
		if n := len(p.demand.name("orders").wants); n != c.wants {
			t.Errorf("%s: %d wants", c.name, n)
		}
		if got := commands(Modules(in)); got != c.want {
			t.Errorf("%s: commands %q", c.name, got)
		}
	}
	switchable := onBase("orders:1 deactivated").with(podFor("p", "orders:1", running, noSecret))
	switchable.Seen.Features = overHTTP
	if got := commands(Modules(switchable)); got != "switch orders:1 for p" {
		t.Errorf("what only needs a switch: commands %q", got)
	}
}

// A pod that cannot be read shows nothing that another one runs.
func TestAnUnfitPodShowsOnlyItsOwn(t *testing.T) {
	in := onBase("orders:1 activated").with(podFor("a", "orders:1", age(time.Hour), ran(urlOf("orders", "1"))), podFor("b", "orders:1", noSecret))
	out := Modules(in)
	if a, b := shownBy(out, "a"), shownBy(out, "b"); a != "Running" || b != ReasonConfigError+": secret is missing" {
		t.Errorf("one shows %q, the other %q", a, b)
	}
}
