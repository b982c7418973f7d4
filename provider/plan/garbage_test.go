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
	for name, late := range map[string]bool{"listed": false, "under way": true} {
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

// A pod that vanished while the command of the owner before was under way: the
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
		name      string
		pods      []Pod
		since     time.Time
		change    func(*Input)
		want      string // commands
		remembers time.Time
		reported  bool
		told      bool
	}{
		{name: "new", remembers: noon, reported: true, told: true},
		{name: "known", since: before, remembers: before, reported: true},
		{name: "ours, within its grace", since: before, change: ours, remembers: before},
		{name: "ours, after its grace", since: due, change: ours, remembers: due, want: "uninstall orders:1"},
		{name: "not ours, by policy", since: due, change: func(in *Input) { in.Config.Policy = PolicyUninstall }, remembers: due, want: "uninstall orders:1"},
		{name: "requested again", since: due, change: ours, pods: []Pod{podFor("p", "orders:1")}},
		{name: "requested by a pod that is not fit", since: due, change: ours, pods: []Pod{podFor("p", "orders:1", noSecret)}},
		{name: "another version may be wanted", since: due, change: ours, pods: []Pod{podFor("p", "orders:2", notSynced)}, remembers: due},
		{name: "a command of its name is under way", since: due, change: func(in *Input) { ours(in); *in = in.sent(install("orders:2"), time.Second) }, remembers: due},
		{name: "a command of its name is due", since: due, change: ours, pods: []Pod{podFor("p", "orders:2")}, remembers: due, want: "install orders:2 for p"},
		{name: "on a partial list", since: due, change: func(in *Input) { ours(in); in.Seen.Partial = true }, remembers: due},
		{name: "new on a partial list", change: func(in *Input) { in.Seen.Partial = true }},
		{name: "that failed just now", since: due, change: func(in *Input) {
			ours(in)
			failing(Failure{URL: "uninstall", Count: 1, NotBefore: noon.Add(time.Second)})(in)
		}, remembers: due},
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
			if got := commands(out); got != c.want {
				t.Errorf("commands %q, want %q", got, c.want)
			}
			if got := out.Memory.Unmanaged[module("orders:1")]; !got.Equal(c.remembers) {
				t.Errorf("remembers %s, want %s", got, c.remembers)
			}
			if reported := len(out.Unmanaged) == 1; reported != c.reported {
				t.Errorf("reported %v", out.Unmanaged)
			}
			if told := strings.Contains(events(out), "UnmanagedModule"); told != c.told {
				t.Errorf("events %q", events(out))
			}
		})
	}
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
		{"its install is under way", nil, func(in *Input) { *in = in.sent(install("orders:1"), time.Second) }, true},
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
