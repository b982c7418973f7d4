package plan

import (
	"fmt"
	"strings"
	"testing"

	"module-controller/tunnel"
)

func TestReplacingAVersion(t *testing.T) {
	for _, c := range []struct {
		name     string
		features tunnel.Features
		plain    bool
		fail     string
		atOnce   bool
		want     []string
		serving  string
		pods     map[string]string
	}{
		{"over HTTP: beside, then switched", overHTTP, false, "", false,
			[]string{"install orders:1", "install orders:2", "switch orders:2"}, "orders:2", map[string]string{"old": ReasonSuperseded, "new": "Running"}},
		{"over MQTT: proved, then replaced", overMQTT, false, "", false,
			[]string{"install orders:1", "install orders:2", "install orders:2 replacing"}, "orders:2", map[string]string{"old": ReasonSuperseded, "new": "Running"}},
		{"on a runtime that replaces nothing", overMQTT, true, "", false,
			[]string{"install orders:1", "install orders:2", "install orders:2 replacing", "uninstall orders:1", "uninstall orders:2", "install orders:2"},
			"orders:2", map[string]string{"old": ReasonSuperseded, "new": "Running"}},
		{"at once", overHTTP, false, "", true,
			[]string{"install orders:1", "install orders:2 replacing"}, "orders:2", map[string]string{"old": ReasonSuperseded, "new": "Running"}},
		{"one that cannot start leaves the old one", overMQTT, false, "no stock today", false,
			[]string{"install orders:1", "install orders:2"}, "orders:1", map[string]string{"old": "Running", "new": ReasonInstallFailed}},
		{"at once, and it cannot start: the old one is given back", overHTTP, false, "no stock today", true,
			[]string{"install orders:1", "install orders:2 replacing", "install orders:1"}, "orders:1", map[string]string{"old": "Running", "new": ReasonInstallFailed}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(c.features)
			s.plain = c.plain
			s.pod("old", "orders", "1", urlOf("orders", "1"))
			s.rounds(3)
			s.want(t, map[string]string{"old": "Running"}, "orders:1")
			s.jar(urlOf("orders", "2"), "orders", "2", c.fail)
			pod := s.pod("new", "orders", "2", urlOf("orders", "2"))
			if c.atOnce {
				pod.Annotations = map[string]string{AnnotationReplace: ReplaceAtOnce}
			}
			for range 12 {
				s.round()
				if c.fail != "" && len(s.log) == len(c.want) && s.shows("new") == ReasonInstallFailed && s.shows("old") == "Running" {
					break // before it is tried again
				}
			}
			s.wantLog(t, c.want...)
			s.want(t, c.pods, c.serving)
			s.delete("old")
			s.jar(urlOf("orders", "2"), "orders", "2", "")
			s.rounds(30)
			s.want(t, map[string]string{"old": "gone", "new": "Running"}, "orders:2")
		})
	}
}

// A base may be told to keep what did not start. It must never take the place of what
// serves, however often it is tried.
func TestAVersionThatIsListedBrokenLeavesTheOldOne(t *testing.T) {
	for name, features := range map[string]tunnel.Features{"over HTTP": overHTTP, "over MQTT": overMQTT} {
		t.Run(name, func(t *testing.T) {
			s := newSim(features)
			s.keepsFailed = true
			s.pod("old", "orders", "1", urlOf("orders", "1"))
			s.rounds(3)
			s.jar(urlOf("orders", "2"), "orders", "2", "no stock today")
			s.pod("new", "orders", "2", urlOf("orders", "2"))
			for range 300 {
				s.round()
				if s.serving() != "orders:1" {
					t.Fatalf("the base serves %q after %s", s.serving(), strings.Join(s.log, "; "))
				}
			}
			if n := len(s.log); n < 5 || n > 30 {
				t.Errorf("%d commands: %s", n, strings.Join(s.log, "; "))
			}
			s.jar(urlOf("orders", "2"), "orders", "2", "")
			s.rounds(300)
			s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:2")
		})
	}
}

// Pods that want one version from two URLs, neither of which has it, must not take turns:
// each would make the failure of the other forgotten.
func TestTwoURLsOfOneVersionTakeNoTurns(t *testing.T) {
	s := newSim(overHTTP)
	for i, url := range []string{"file:///x.jar?again", "file:///x.jar", "file:///x.jar"} {
		s.jar(url, "orders", "x", "")
		s.pod(fmt.Sprint("p", i), "orders", []string{"2", "2", "1"}[i], url)
	}
	s.rounds(60) // 2 minutes, and a wrong jar is tried again after 5
	s.wantLog(t, "install orders:1", "uninstall orders:x", "install orders:2", "uninstall orders:x")
}

func TestARolledBackVersion(t *testing.T) {
	s := newSim(overHTTP)
	s.pod("a", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.pod("b", "orders", "2", urlOf("orders", "2"))
	s.rounds(6)
	s.pod("c", "orders", "1", urlOf("orders", "1"))
	s.rounds(6)
	s.want(t, map[string]string{"b": ReasonSuperseded, "c": "Running"}, "orders:1")
	s.delete("a")
	s.delete("b")
	s.rounds(6)
	s.want(t, map[string]string{"a": "gone", "b": "gone", "c": "Running"}, "orders:1")
	if n := s.installs[tunnel.ModuleKey{Name: "orders", Version: "1"}]; n != 1 {
		t.Errorf("version 1 was installed %d times, want once", n)
	}
}

func TestAnImageChangedInPlaceIsInstalledOnce(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.jar("file:///fixed.jar", "orders", "1", "")
	pod.Spec.Containers[0].Image = "file:///fixed.jar"
	s.rounds(6)
	s.want(t, map[string]string{"p": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1", "install orders:1 replacing")
	if c := pod.Status.ContainerStatuses[0]; c.RestartCount != 1 || c.ImageID != "file:///fixed.jar" {
		t.Errorf("restarts %d, image id %s", c.RestartCount, c.ImageID)
	}
}

// What somebody else began, a version that is on its way, is waited for before it is
// uninstalled: the base would refuse it as long.
func TestAModuleThatIsStartingIsNotUninstalled(t *testing.T) {
	s := newSim(overMQTT)
	s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.delete("p")
	s.modules = []tunnel.Module{{ModuleKey: tunnel.ModuleKey{Name: "orders", Version: "1"}, State: tunnel.Resolved}}
	s.round()
	for range 40 {
		if out := s.round(); !out.Ask {
			t.Fatal("nobody asks what became of it")
		}
	}
	s.wantLog(t)
	s.modules[0].State = tunnel.Activated
	s.rounds(5)
	s.wantLog(t, "uninstall orders:1")
	s.want(t, map[string]string{"p": "gone"}, "")
}
