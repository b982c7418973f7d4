package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/tunnel"
)

var bothTunnels = map[string]tunnel.Features{"over HTTP": overHTTP, "over MQTT": overMQTT}

// A pod whose second module cannot start takes nothing from the one that serves.
func TestAPodTakesOverWholeOrNotAtAll(t *testing.T) {
	for name, features := range bothTunnels {
		for _, plain := range []bool{false, true} {
			for _, keeps := range []bool{false, true} {
				t.Run(name, func(t *testing.T) {
					s := newSim(features)
					s.plain, s.keepsFailed = plain, keeps
					s.with(s.pod("old", "a", "1", urlOf("a", "1")), "b", "1")
					s.rounds(6)
					s.jar(urlOf("b", "2"), "b", "2", "no stock today")
					s.with(s.pod("new", "a", "2", urlOf("a", "2")), "b", "2")
					for range 100 {
						s.round()
						if s.serving() != "a:1 b:1" || !s.isReady("old") {
							t.Fatalf("it serves %q, the old pod is ready: %v; %s", s.serving(), s.isReady("old"), strings.Join(s.log, "; "))
						}
					}
					s.want(t, map[string]string{"new": ReasonBlocked}, "a:1 b:1")
					s.jar(urlOf("b", "2"), "b", "2", "")
					s.rounds(200)
					s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "a:2 b:2")
				})
			}
		}
	}
}

// What keeps a pod from taking over, told by the container that waits for it.
func TestWhatAPodLacks(t *testing.T) {
	two := func(name, a, b string, change ...func(*Pod)) Pod {
		pod, other := podFor(name, a, change...), podFor(name, b)
		pod.Spec.Containers = append(pod.Spec.Containers, other.Spec.Containers...)
		return pod
	}
	invalid := func(p *Pod) { p.Spec.Containers[1].Image = "ftp://x" }
	old := two("old", "a:1", "b:1", age(time.Hour))
	for _, c := range []struct {
		name   string
		list   []string
		pod    Pod
		others []Pod
		change func(*Pod)
		lacks  string
	}{
		{name: "nothing", list: []string{"a:1 activated", "b:1 activated", "a:2 deactivated", "b:2 deactivated"}, pod: two("p", "a:2", "b:2"), others: []Pod{old}},
		{name: "a module that is not there", list: []string{"a:1 activated", "b:1 activated", "a:2 deactivated"}, pod: two("p", "a:2", "b:2"), others: []Pod{old}, lacks: "b:2 has not started"},
		{name: "one that is new", list: []string{"a:1 activated", "a:2 deactivated"}, pod: two("p", "a:2", "c:1"), others: []Pod{old}, lacks: "c:1 has not started"},
		{name: "one that is broken", list: []string{"a:1 activated", "a:2 deactivated", "b:2 broken"}, pod: two("p", "a:2", "b:2"), others: []Pod{old}, lacks: "b:2 has not started"},
		{name: "one that another has", list: []string{"a:1 activated", "a:2 deactivated", "b:1 activated"}, pod: two("p", "a:2", "b:2"),
			others: []Pod{old, podFor("youngest", "b:3", age(0))}, lacks: "another pod has b"},
		{name: "an invalid one", list: []string{"a:1 activated", "a:2 deactivated"}, pod: two("p", "a:2", "b:2"), others: []Pod{old}, change: invalid, lacks: "container b is invalid"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.change != nil {
				c.change(&c.pod)
			}
			out := Modules(onBase(c.list...).with(c.others...).with(c.pod))
			want := "Installing: a:2 from file:///a-2.jar"
			if c.lacks != "" {
				want = "TakeoverBlocked: a:2 takes the place of an older pod's version once all modules of its pod can: " + c.lacks
			}
			if got := shownBy(out, "p"); got != want {
				t.Errorf("it shows %q, want %q", got, want)
			}
			if took := strings.Contains(commands(out), "a:2"); took != (c.lacks == "") {
				t.Errorf("commands %q", commands(out))
			}
		})
	}
}

// Of a pod that takes over at once none waits for the proof of the other, but what cannot
// be installed keeps it whole.
func TestAtOnceIsOfAWholePod(t *testing.T) {
	s := newSim(overMQTT)
	s.with(s.pod("old", "a", "1", urlOf("a", "1")), "b", "1")
	s.rounds(6)
	pod := s.with(s.pod("new", "a", "2", urlOf("a", "2")), "b", "2")
	pod.Annotations = map[string]string{AnnotationReplace: ReplaceAtOnce}
	pod.Spec.Containers[1].Image = "ftp://x"
	s.rounds(20)
	s.want(t, map[string]string{"old": "Running", "new": ReasonBlocked}, "a:1 b:1")
	pod.Spec.Containers[1].Image = urlOf("b", "2")
	s.rounds(20)
	s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "a:2 b:2")
	s.wantLog(t, "install a:1", "install b:1", "install a:2 replacing", "install b:2 replacing")
}

// One invalid container touches no other of its pod.
func TestOneInvalidContainer(t *testing.T) {
	s := newSim(overMQTT)
	p := s.with(s.pod("p", "a", "1", urlOf("a", "1")), "b", "1")
	s.rounds(6)
	p.Spec.Containers[1].Image = "ftp://x"
	s.rounds(6)
	if a, b := p.Status.ContainerStatuses[0], p.Status.ContainerStatuses[1]; !a.Ready || waitsFor(&b) != ReasonInvalid {
		t.Errorf("a ready: %v, b waits for %q", a.Ready, waitsFor(&b))
	}
	s.wantLog(t, "install a:1", "install b:1")
}

// Containers start in the order of the spec, not of their names.
func TestContainersStartInTheirOrder(t *testing.T) {
	s := newSim(overMQTT)
	s.with(s.with(s.pod("p", "stock", "1", urlOf("stock", "1")), "bills", "1"), "orders", "1")
	s.rounds(2)
	s.wantLog(t, "install stock:1", "install bills:1", "install orders:1")
}

// A pod says that its module is going before it goes: the status is written, and then the
// command leaves.
func TestATakeoverIsSaidBeforeItIsDone(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(old, pod *Pod)
		list    []string
		command string
		shows   string
	}{
		{"a replacement", nil, []string{"orders:1 activated", "orders:2 deactivated"}, "install orders:2 replacing for new", "Superseded: pod new has orders:2 on this base"},
		{"at once", func(_, pod *Pod) { atOnce(pod) }, []string{"orders:1 activated"}, "install orders:2 replacing for new", "Superseded: pod new has orders:2 on this base"},
	} {
		t.Run(c.name, func(t *testing.T) {
			old, pod := podFor("old", "orders:1", age(time.Hour), ran(urlOf("orders", "1"))), podFor("new", "orders:2", waits(ReasonInstalling))
			if c.change != nil {
				c.change(&old, &pod)
			}
			in := onBase(c.list...).with(old, pod)
			in.Held = true
			if out := Modules(in); commands(out) != "" || shownBy(out, "old") != "Running" {
				t.Errorf("held: commands %q, the old pod shows %q", commands(out), shownBy(out, "old"))
			}
			in.Held = false
			out := Modules(in)
			if commands(out) != "" || shownBy(out, "old") != c.shows || out.Ask || !out.Next.Equal(noon) {
				t.Errorf("first: commands %q, the old pod shows %q, asks %v, next %s", commands(out), shownBy(out, "old"), out.Ask, out.Next)
			}
			in.Pods[0].Pod = in.Pods[0].DeepCopy()
			in.Pods[0].Status, in.Pods[0].Writing, in.Memory = statusIn(out, "old").Status, true, out.Memory
			out = Modules(in)
			if commands(out) != "" || out.Ask || !out.Next.Equal(noon.Add(sayPause)) {
				t.Errorf("while it is written: commands %q, asks %v, next %s", commands(out), out.Ask, out.Next)
			}
			if d := cmp.Diff(in.Pods[0].Status, statusIn(out, "old").Status); d != "" {
				t.Errorf("while it is written (-was +is):\n%s", d)
			}
			in.Pods[0].Writing, in.Held = false, true // what was said is kept to
			if out = Modules(in); commands(out) != c.command || shownBy(out, "old") != c.shows {
				t.Errorf("written: commands %q, the old pod shows %q", commands(out), shownBy(out, "old"))
			}
		})
	}
}

// A switch is done at once: the base serves one version or the other all the while.
func TestASwitchIsDoneAtOnce(t *testing.T) {
	in := onBase("orders:1 activated", "orders:2 deactivated").with(podFor("old", "orders:1", age(time.Hour), ran(urlOf("orders", "1"))), podFor("new", "orders:2", waits(ReasonInstalling)))
	in.Seen.Features = overHTTP
	if out := Modules(in); commands(out) != "switch orders:2 for new" || shownBy(out, "old") != "Running" {
		t.Errorf("commands %q, the old pod shows %q", commands(out), shownBy(out, "old"))
	}
}

// A module that is installed anew for its own pod says so too.
func TestAReplacementInPlaceIsSaidBeforeItIsDone(t *testing.T) {
	in := onBase("orders:1 activated").with(podFor("p", "orders:1", ran("file:///old.jar")))
	out := Modules(in)
	if got := shownBy(out, "p"); commands(out) != "" || got != "Installing: orders:1 from file:///orders-1.jar" {
		t.Errorf("commands %q, it shows %q", commands(out), got)
	}
	in.Pods[0].Pod = in.Pods[0].DeepCopy()
	in.Pods[0].Status, in.Memory = statusIn(out, "p").Status, out.Memory
	if out := Modules(in); commands(out) != "install orders:1 replacing for p" {
		t.Errorf("commands %q", commands(out))
	}
}

func TestEnds(t *testing.T) {
	for _, c := range []struct {
		command  tunnel.Command
		one, two bool
	}{
		{install("orders:2"), false, false}, {install("orders:2", replacing), true, true},
		{switchTo("orders:2"), false, false}, {uninstall("orders:2"), false, true},
		{install("stock:2", replacing), false, false}, {tunnel.Command{}, false, false},
	} {
		if one, two := ends(c.command, module("orders:1")), ends(c.command, module("orders:2")); one != c.one || two != c.two {
			t.Errorf("%s %s ends orders:1 %v, orders:2 %v", c.command.Verb, c.command.Module, one, two)
		}
	}
}

// Of two pods that want what serves one shows it at each moment, also where another version
// was wanted in between.
func TestAVersionIsHandedOnInOneStep(t *testing.T) {
	in := onBase("orders:1 activated").with(podFor("a", "orders:1", age(3*time.Minute), numbered("w", 1), ran(urlOf("orders", "1"))),
		podFor("b", "orders:2", age(2*time.Minute), numbered("w", 2)), podFor("c", "orders:1", numbered("w", 3)))
	out := Modules(in)
	if a, c := shownBy(out, "a"), shownBy(out, "c"); c != "Running" || a != "Superseded: pod c has orders:1 on this base" {
		t.Errorf("the older shows %q, the newer %q", a, c)
	}
}

// A version that serves for one pod is not handed on to another one that lacks a module.
func TestAVersionIsHandedOnToAWholePod(t *testing.T) {
	s := newSim(overMQTT)
	s.pod("old", "c", "2", urlOf("c", "2"))
	s.rounds(3)
	s.slow[urlOf("c", "1")] = time.Hour
	s.pod("between", "c", "1", urlOf("c", "1"))
	s.jar(urlOf("a", "1"), "a", "1", "no stock today")
	s.with(s.pod("new", "c", "2", urlOf("c", "2")), "a", "1")
	s.rounds(20)
	s.want(t, map[string]string{"old": "Running", "new": ReasonBlocked}, "c:2")
	s.jar(urlOf("a", "1"), "a", "1", "")
	s.during(10 * time.Minute)
	s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "a:1 c:2")
}

// A pod whose version is listed as serving, while a switch to another one is under way, has
// not begun to serve: the list is of before.
func TestAStaleListMakesNoPodReady(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*Pod)
		want   string
	}{
		"it never ran":            {func(*Pod) {}, ReasonInstalling},
		"it ran, and is switched": {ran("orders-1"), ""},
	} {
		in := onBase("orders:1 activated", "orders:2 deactivated").with(podFor("new", "orders:1", c.change))
		in.Seen.Listed = noon.Add(-time.Second)
		in.Memory.Attempts["orders"] = Attempt{Command: switchTo("orders:2"), Pod: "gone", Sent: noon, Answer: &tunnel.Answer{Outcome: tunnel.Done}, Answered: noon}
		if got := waitsFor(&Modules(in).Statuses[0].Status.ContainerStatuses[0]); got != c.want {
			t.Errorf("%s: it shows %q, want %q", name, got, c.want)
		}
	}
}
