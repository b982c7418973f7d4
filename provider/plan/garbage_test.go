package plan

import (
	"strings"
	"testing"
	"time"

	"module-controller/tunnel"
)

func TestModulesThatNobodyAskedFor(t *testing.T) {
	key := tunnel.ModuleKey{Name: "alien", Version: "1"}
	for _, c := range []struct {
		name      string
		policy    Policy
		installed bool
		left      bool
	}{{"an unmanaged one is reported", PolicyReport, false, true}, {"an unmanaged one is uninstalled", PolicyUninstall, false, false}, {"ours is uninstalled", PolicyReport, true, false}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(overMQTT)
			s.in.Config.Policy = c.policy
			s.in.Memory.Installed = map[tunnel.ModuleKey]bool{key: c.installed}
			if !c.installed {
				s.in.Memory.Installed = nil
			}
			s.modules = []tunnel.Module{{ModuleKey: key, State: tunnel.Activated}}
			var events int
			for i := range 12 {
				for _, e := range s.round().Events {
					if e.Reason == "UnmanagedModule" {
						events++
					}
				}
				if i < 4 && len(s.modules) != 1 {
					t.Fatal("it was uninstalled before the grace was over")
				}
			}
			if left := len(s.modules) == 1; left != c.left || events != 1 {
				t.Errorf("left %v, want %v; %d events, want 1", left, c.left, events)
			}
		})
	}
}

func TestNothingIsUninstalledOnAPartialOrUnreadList(t *testing.T) {
	s := newSim(overMQTT)
	key := tunnel.ModuleKey{Name: "ours", Version: "1"}
	s.in.Memory.Installed = map[tunnel.ModuleKey]bool{key: true}
	s.modules = []tunnel.Module{{ModuleKey: key, State: tunnel.Activated}}
	s.in.Seen.Partial = true
	s.rounds(30)
	s.wantLog(t)
	s.in.Seen.Partial, s.in.Live = false, false
	s.rounds(30)
	s.wantLog(t)
}

// Whoever served the base before installed a module for a pod, perhaps only just now;
// then the pod is gone before anybody else has done anything for it.
func TestWhatAnotherInstalledIsManaged(t *testing.T) {
	for name, late := range map[string]bool{"listed": false, "in flight": true} {
		t.Run(name, func(t *testing.T) {
			s := newSim(overMQTT)
			pod := s.pod("a", "orders", "1", urlOf("orders", "1"))
			install := Planned{Command: tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "orders", Version: "1"}, URL: urlOf("orders", "1")}}
			if !late {
				s.obey(install.Command)
			}
			s.in.Since = s.now
			s.loseCommands = true // the base is busy with the other's command
			s.rounds(2)
			s.in.Since, s.in.Memory.Attempts = s.now, nil // it changes hands again
			if late {
				s.obey(install.Command)
				s.gone[pod.UID], s.in.Memory.Installed = true, nil
			} else {
				s.pods = nil
			}
			s.loseCommands = false
			s.rounds(60)
			s.want(t, map[string]string{"a": "gone"}, "")
			if n := s.uninstalls[install.Module]; n != 1 {
				t.Errorf("uninstalled %d times, want once", n)
			}
		})
	}
}

// A pod that vanished while the command of the owner before was in flight: the
// module comes after the pod went.
func TestWhatComesAfterItsPodWentIsUninstalled(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("a", "orders", "1", urlOf("orders", "1"))
	s.gone[pod.UID] = true
	s.in.Since = s.now
	s.round()
	s.rounds(2)
	s.want(t, map[string]string{"a": "gone"}, "")
	s.obey(tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "orders", Version: "1"}, URL: urlOf("orders", "1")})
	s.rounds(20)
	s.want(t, nil, "")
}

// What becomes of a listed module, and what is remembered of it.
func TestCollect(t *testing.T) {
	before, due := noon.Add(-9*time.Second), noon.Add(-10*time.Second)
	for _, c := range []struct {
		name   string
		pods   []Pod
		since  time.Time
		change func(*Input)
		want   collected
	}{
		{name: "new", want: collected{"", noon, true, true}},
		{name: "known", since: before, want: collected{"", before, true, false}},
		{name: "ours, within its grace", since: before, change: ours, want: collected{"", before, false, false}},
		{name: "ours, after its grace", since: due, change: ours, want: collected{"uninstall orders:1", due, false, false}},
		{name: "not ours, by policy", since: due, change: func(in *Input) { in.Config.Policy = PolicyUninstall }, want: collected{"uninstall orders:1", due, false, false}},
		{name: "requested again", since: due, change: ours, pods: []Pod{podFor("p", "orders:1")}, want: collected{"", time.Time{}, false, false}},
		{name: "requested by a pod that is not fit", since: due, change: ours, pods: []Pod{podFor("p", "orders:1", noSecret)}, want: collected{"", time.Time{}, false, false}},
		{name: "another version may be wanted", since: due, change: ours, pods: []Pod{podFor("p", "orders:2", notSynced)}, want: collected{"", due, false, false}},
		{name: "a command of its name is in flight", since: due, change: func(in *Input) { ours(in); *in = in.sent(install("orders:2"), time.Second) }, want: collected{"", due, false, false}},
		{name: "new, while a command of its name is in flight", change: func(in *Input) { *in = in.sent(install("orders:2"), time.Second) }, want: collected{"", time.Time{}, false, false}},
		{name: "requested, and another version may be wanted", since: due, change: ours, pods: []Pod{podFor("p", "orders:1"), podFor("q", "orders:2", notSynced)}, want: collected{"", due, false, false}},
		{name: "a command of its name is due", since: due, change: ours, pods: []Pod{podFor("p", "orders:2")}, want: collected{"install orders:2 for p", due, false, false}},
		{name: "on a partial list", since: due, change: func(in *Input) { ours(in); in.Seen.Partial = true }, want: collected{"", due, false, false}},
		{name: "new on a partial list", change: func(in *Input) { in.Seen.Partial = true }, want: collected{"", time.Time{}, false, false}},
		{name: "that failed just now", since: due, change: func(in *Input) {
			ours(in)
			failing(Failure{Purpose: ofUninstall, Count: 1, NotBefore: noon.Add(time.Second)})(in)
		}, want: collected{"", due, false, false}},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase("orders:1 activated").with(c.pods...)
			if !c.since.IsZero() {
				in.Memory.Unmanaged[module("orders:1")] = c.since
			}
			if c.change != nil {
				c.change(&in)
			}
			out := Modules(in)
			got := collected{commands(out), out.Memory.Unmanaged[module("orders:1")], len(out.Unmanaged) == 1, strings.Contains(events(out), "UnmanagedModule")}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

// collected is what became of a listed module.
type collected struct {
	commands       string
	since          time.Time // remembered
	reported, told bool
}

func ours(in *Input) { in.Memory.Installed[module("orders:1")] = true }

// That a module was installed is forgotten when it is seen gone, not before.
func TestForgetGone(t *testing.T) {
	for _, c := range []struct {
		name   string
		list   []string
		change func(*Input)
		kept   bool
	}{
		{"gone", nil, nil, false},
		{"listed", []string{"orders:1 broken"}, nil, true},
		{"not on a partial list", nil, func(in *Input) { in.Seen.Partial = true }, true},
		{"its install is in flight", nil, func(in *Input) { *in = in.sent(install("orders:1"), time.Second) }, true},
		{"the owner before may be installing it", nil, func(in *Input) { in.Since = noon.Add(-time.Second) }, true},
		{"the base is not heard", nil, func(in *Input) { in.Live = false }, true},
	} {
		in := onBase(c.list...)
		ours(&in)
		if c.change != nil {
			c.change(&in)
		}
		if got := Modules(in).Memory.Installed[module("orders:1")]; got != c.kept {
			t.Errorf("%s: kept %v, want %v", c.name, got, c.kept)
		}
	}
}

// However many modules nobody asked for, they are told in one event with the first names.
func TestUnmanagedModulesAreToldTogether(t *testing.T) {
	for n, want := range map[int]string{
		1:    "UnmanagedModule: m0000:1 is installed but not requested by any pod",
		2:    "UnmanagedModule: m0000:1, m0001:1 are installed but not requested by any pod",
		4096: "UnmanagedModule: m0000:1, m0001:1, m0002:1, m0003:1, m0004:1 and 4091 more are installed but not requested by any pod",
	} {
		in := crowded(n)
		out := Modules(in)
		if got := events(out); got != want || len(out.Unmanaged) != n {
			t.Errorf("of %d, %d unmanaged: %s", n, len(out.Unmanaged), got)
		}
		in.Memory = out.Memory
		if again := events(Modules(in)); again != "" {
			t.Errorf("of %d told again: %s", n, again)
		}
	}
}

// What a listed module costs does not grow with the list.
func TestPlanningIsLinear(t *testing.T) {
	cost := func(modules int) float64 {
		in := crowded(modules)
		return testing.AllocsPerRun(3, func() { Modules(in) }) / float64(modules)
	}
	if few, many := cost(64), cost(4096); many > 2*few {
		t.Errorf("%.1f allocations for each of 64 modules, %.1f for each of 4096", few, many)
	}
}
