package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"pgregory.net/rapid"

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

// Whatever happens, once it stops happening the base and the pods agree, no
// command overlapped another for its module, and nothing is done any more.
func TestEverythingConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(rapid.SampledFrom([]tunnel.Features{overHTTP, overMQTT}).Draw(t, "features"))
		s.plain = rapid.Bool().Draw(t, "plain")
		made := 0
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			switch rapid.IntRange(0, 8).Draw(t, "event") {
			case 0, 1, 2:
				made++
				name, version := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "version"))
				url := urlOf(name, version)
				if rapid.IntRange(0, 4).Draw(t, "wrong") == 0 {
					url = urlOf(name, "x")
					s.jar(url, name, "x", "")
				}
				s.pod(fmt.Sprintf("p%d", made), name, version, url)
			case 3:
				if len(s.pods) > 0 {
					s.delete(rapid.SampledFrom(s.pods).Draw(t, "pod").Name)
				}
			case 4:
				if len(s.pods) > 0 {
					s.gone[rapid.SampledFrom(s.pods).Draw(t, "pod").UID] = true
				}
			case 5:
				s.modules = nil // the base was restarted
			case 6:
				s.loseAnswers = !s.loseAnswers
			case 7:
				s.loseCommands = !s.loseCommands
			case 8:
				if len(s.pods) > 0 {
					p := rapid.SampledFrom(s.pods).Draw(t, "pod")
					url := p.Spec.Containers[0].Image + "?again"
					s.jars[url] = s.jars[p.Spec.Containers[0].Image]
					p.Spec.Containers[0].Image = url
				}
			}
			s.rounds(rapid.IntRange(0, 6).Draw(t, "rounds"))
		}
		s.loseAnswers, s.loseCommands = false, false
		s.rounds(400)
		if s.overlaps > 0 {
			t.Fatalf("%d commands overlapped: %v", s.overlaps, s.log)
		}
		s.converged(t)
	})
}

func (s *sim) converged(t *rapid.T) {
	done := len(s.log)
	s.rounds(20)
	// Back-offs of wrong jars may end in these rounds; nothing else may happen.
	if extra := len(s.log) - done; extra > 8 {
		t.Fatalf("%d commands after everything stopped: %v", extra, s.log[done:])
	}
	newest := map[string]*corev1.Pod{}
	wanted := map[tunnel.ModuleKey]bool{}
	for _, p := range s.pods {
		if p.DeletionTimestamp != nil || s.gone[p.UID] {
			t.Fatalf("pod %s is terminating and not gone; commands %v", p.Name, s.log)
		}
		for _, key := range Wanted(p) {
			wanted[key] = true
		}
		if n := newest[p.Spec.Containers[0].Name]; n == nil || !p.CreationTimestamp.Before(&n.CreationTimestamp) {
			newest[p.Spec.Containers[0].Name] = p
		}
	}
	for name, p := range newest {
		c := p.Spec.Containers[0]
		key := tunnel.ModuleKey{Name: name, Version: c.Env[0].Value}
		if s.shows(p.Name) == ReasonDuplicate {
			continue // an older pod of the same version holds it, though its jar is a wrong one
		}
		if s.jars[c.Image].key == key && !strings.Contains(s.serving(), key.String()) {
			t.Fatalf("%s does not serve, but %q; pod %s shows %s; commands %v", key, s.serving(), p.Name, s.shows(p.Name), s.log)
		}
	}
	for _, p := range s.pods {
		key := Wanted(p)[0]
		if s.shows(p.Name) == "Running" && !strings.Contains(s.serving(), key.String()) {
			t.Fatalf("pod %s is Running and %s does not serve", p.Name, key)
		}
	}
	for _, m := range s.modules {
		if !wanted[m.ModuleKey] && s.in.Memory.Installed[m.ModuleKey] {
			t.Fatalf("%s is installed, ours and wanted by nobody; commands %v", m.ModuleKey, s.log)
		}
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
