package plan

import (
	"testing"

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
