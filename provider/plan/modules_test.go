package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/tunnel"
)

func TestAdoptionChangesNoStatus(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	before := *pod.Status.DeepCopy()
	s.in.Seen.Listed, s.in.Seen.Modules, s.in.Memory.Attempts = time.Time{}, nil, nil // a new process
	s.in.Now = s.now.Add(time.Hour)
	s.in.Pods = []Pod{{Pod: pod}}
	out := Modules(s.in)
	if d := cmp.Diff(before, out.Statuses[0].Status); d != "" || len(out.Commands) > 0 || !out.Ask {
		t.Errorf("commands %v, ask %v, status (-was +is):\n%s", out.Commands, out.Ask, d)
	}
	s.rounds(3)
	if d := cmp.Diff(before, pod.Status); d != "" {
		t.Errorf("status (-was +is):\n%s", d)
	}
	s.wantLog(t, "install orders:1")
}

// Modules that are starting and that this process asked nothing about count as commands
// of the owner before, for as long as an answer may take.
func TestCommandsOfTheOwnerBeforeCount(t *testing.T) {
	listed := func(name string, state tunnel.State) tunnel.Module {
		return tunnel.Module{ModuleKey: tunnel.ModuleKey{Name: name, Version: "1"}, State: state}
	}
	in := Input{
		Now: noon, Since: noon.Add(-time.Second), Live: true,
		Seen: Seen{Listed: noon, Modules: []tunnel.Module{
			listed("a", tunnel.Resolved), listed("b", tunnel.Unresolved), listed("c", tunnel.Activated), listed("ours", tunnel.Resolved),
		}},
		Memory: Memory{Attempts: map[string]Attempt{"ours": {
			Command: tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "ours", Version: "1"}}, Sent: noon.Add(-time.Second),
		}}},
	}
	if n := Modules(in).Inherited; n != 2 {
		t.Errorf("%d are inherited, want 2", n)
	}
	in.Now = noon.Add(time.Minute)
	if n := Modules(in).Inherited; n != 0 {
		t.Errorf("%d are inherited after a minute, want none", n)
	}
}

func TestStandingOf(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*Input)
		want   standing
		ask    bool
	}{
		{"ready", func(*Input) {}, ready, false},
		{"never listed", func(in *Input) { in.Seen = Seen{} }, unread, true},
		{"not heard", func(in *Input) { in.Live = false }, away, false},
		{"not ready", func(in *Input) { in.NotReady = ReasonBaseNotAnswering }, away, false},
		{"not ready, never listed", func(in *Input) { in.NotReady, in.Seen = ReasonBaseSilent, Seen{} }, unread, true},
		{"neither", func(in *Input) { in.Live, in.Seen = false, Seen{} }, away, false},
		{"two bases", func(in *Input) { in.Conflict = "two" }, conflicted, false},
		{"two bases, never listed", func(in *Input) { in.Conflict, in.Seen = "two", Seen{} }, conflicted, false},
		{"two bases, not heard", func(in *Input) { in.Conflict, in.Live = "two", false }, conflicted, false},
	} {
		in := onBase().with(podFor("p", "orders:1"))
		c.change(&in)
		out := Modules(in)
		if got := standingOf(in); got != c.want || out.Ask != c.ask || (commands(out) != "") != (c.want == ready) {
			t.Errorf("%s: standing %d, asks %v, commands %q; want %d, %v", c.name, got, out.Ask, commands(out), c.want, c.ask)
		}
	}
}

// What pods ask for counts as installed by this controller where it is there, or may come.
func TestAdopt(t *testing.T) {
	for _, c := range []struct {
		name  string
		list  []string
		pod   Pod
		since time.Duration // before noon
		want  bool
	}{
		{"listed", []string{"orders:1 activated"}, podFor("p", "orders:1"), time.Hour, true},
		{"listed, and the pod goes", []string{"orders:1 resolved"}, podFor("p", "orders:1", terminating), time.Hour, true},
		{"not listed", nil, podFor("p", "orders:2"), time.Hour, false},
		{"not listed, but it may be in flight", nil, podFor("p", "orders:1", terminating), 59 * time.Second, true},
		{"not listed, and nothing is in flight any more", nil, podFor("p", "orders:1", terminating), 60 * time.Second, false},
		{"listed, for nobody", []string{"orders:1 activated"}, podFor("p", "orders:2"), time.Second, false},
	} {
		in := onBase(c.list...).with(c.pod)
		in.Since = noon.Add(-c.since)
		p := newPlanner(in)
		p.adopt()
		if got := p.out.Memory.Installed[module("orders:1")]; got != c.want {
			t.Errorf("%s: installed %v, want %v", c.name, got, c.want)
		}
	}
}

// An input is never changed, and a second look at what the first one gave finds nothing
// to do anew.
func TestModulesKeepsItsInput(t *testing.T) {
	build := func() Input {
		in := onBase("orders:9 activated", "stock:1 activated", "bills:1 broken").with(
			podFor("p", "orders:1"), podFor("q", "bills:1", ran(urlOf("bills", "1"))), podFor("r", "stock:1", terminating))
		ours(&in)
		in.Memory.Unmanaged[module("orders:9")] = noon.Add(-time.Hour)
		in.Memory.Failures[module("orders:1")] = Failure{Purpose: from("file:///other.jar"), Count: 1}
		return in.sent(install("orders:1"), 10*time.Second, answered(tunnel.Done, ""))
	}
	in := build()
	out := Modules(in)
	if d := cmp.Diff(build(), in); d != "" {
		t.Errorf("the input is changed (-was +is):\n%s", d)
	}
	for i := range in.Pods {
		in.Pods[i].Pod = in.Pods[i].DeepCopy()
		in.Pods[i].Status = statusIn(out, in.Pods[i].UID).Status
	}
	in.Memory = out.Memory
	again := Modules(in)
	if len(again.Events) > 0 || !cmp.Equal(out.Commands, again.Commands) || !cmp.Equal(out.Memory, again.Memory) {
		t.Errorf("again: events %v, commands %v, memory (-first +second):\n%s", again.Events, again.Commands, cmp.Diff(out.Memory, again.Memory))
	}
}
