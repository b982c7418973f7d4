package plan

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// A pod whose second module starts beside the old one and cannot serve gives the first one
// back too: the old pod is ready while it backs off, which takes ever longer, and it takes
// over whole once it can.
func TestAPodGivesBackWhole(t *testing.T) {
	for name, features := range bothTunnels {
		for _, plain := range []bool{false, true} {
			for _, version := range []string{"2", "1"} { // of the module that starts
				t.Run(fmt.Sprintf("%s, plain %v, a:%s", name, plain, version), func(t *testing.T) {
					s := newSim(features)
					s.plain = plain
					own(s.with(s.pod("old", "a", "1", urlOf("a", "1")), "b", "1"), "w", 1)
					s.rounds(6)
					s.unservable[module("b:2")] = "port is taken"
					own(s.with(s.pod("new", "a", version, urlOf("a", version)), "b", "2"), "w", 2)
					told := s.during(20 * time.Minute)
					ready := 0
					for range 600 {
						s.round()
						if s.isReady("old") {
							ready++
						}
						if s.isReady("new") {
							t.Fatal("the new pod shows that it is ready")
						}
					}
					if ready < 500 {
						t.Errorf("the old pod was ready in %d of 600 rounds", ready)
					}
					if n := told["ModuleRestored"]; n < 4 || n > 30 {
						t.Errorf("%d events tell that it was restored", n)
					}
					for range 300 {
						if s.isReady("old") {
							break
						}
						s.round()
					}
					s.want(t, map[string]string{"old": "Running", "new": ReasonBlocked}, "a:1 b:1")
					delete(s.unservable, module("b:2"))
					s.during(10 * time.Minute)
					s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "a:"+version+" b:2")
					s.delete("old")
					s.rounds(20)
					s.want(t, map[string]string{"old": "gone", "new": "Running"}, "a:"+version+" b:2")
				})
			}
		}
	}
}

// An older pod that serves whole is not taken away for a younger one that may be whole too.
func TestWhatWasGivenBackStays(t *testing.T) {
	two := func(name, version string, minutes, revision int) Pod {
		pod := podFor(name, "a:"+version, age(time.Duration(minutes)*time.Minute), numbered("w", int64(revision)))
		other := podFor(name, "b:"+version, ran(urlOf("b", version)))
		ran(urlOf("a", version))(&pod)
		pod.Spec.Containers = append(pod.Spec.Containers, other.Spec.Containers...)
		pod.Status.ContainerStatuses = append(pod.Status.ContainerStatuses, other.Status.ContainerStatuses...)
		return pod
	}
	last := two("three", "3", 1, 3)
	last.Status = corev1.PodStatus{}
	for serves, want := range map[string]string{
		"1": "install a:3 for three",
		"3": "install b:2 for two", // and a:2 once that serves
	} {
		in := onBase("a:"+serves+" activated").with(two("one", "1", 3, 1), two("two", "2", 2, 2), last)
		if serves == "1" {
			in.Seen.Modules = listed("a:1 activated", "b:1 activated")
		}
		in.Memory.Failures[module("b:3")] = Failure{Purpose: from(urlOf("b", "3")), Count: 1, NotBefore: noon.Add(time.Minute)}
		if got := commands(Modules(in)); got != want {
			t.Errorf("while version %s serves: commands %q, want %q", serves, got, want)
		}
	}
}

// A pod that serves whole is left alone, though a newer pod that is not whole wants the same
// version, and though an older pod could have its version back.
func TestAPodThatServesWholeIsLeftAlone(t *testing.T) {
	s := newSim(overHTTP)
	own(s.pod("first", "a", "1", urlOf("a", "1")), "v", 1)
	s.rounds(5)
	own(s.with(s.pod("second", "a", "2", urlOf("a", "2")), "b", "1"), "v", 2)
	s.rounds(10)
	s.jar("file:///broken.jar", "c", "1", "no stock today")
	third := own(s.with(s.pod("third", "a", "2", urlOf("a", "2")), "c", "1"), "v", 3)
	third.Spec.Containers[1].Image = "file:///broken.jar"
	s.rounds(5)
	s.jar("file:///other.jar", "b", "9", "")
	fourth := own(s.with(s.pod("fourth", "a", "1", urlOf("a", "1")), "b", "2"), "v", 4)
	fourth.Spec.Containers[1].Image = "file:///other.jar"
	for range 40 {
		s.round()
		if !s.isReady("second") {
			t.Fatalf("it is not ready any more; commands %v", s.log)
		}
	}
}

// Two revisions want the same version from different jars, and both fail: each keeps its own
// back-off, however often the other is tried.
func TestWhatFailedOfOneJarIsNotForgottenForAnother(t *testing.T) {
	for name, c := range map[string]struct {
		is, fail  string // what the old jar has become
		most, old int    // commands in an hour, and those of them that install the old jar
	}{
		"the old jar is another module now": {"x", "", 45, 2},
		"the old jar is broken now":         {"1", "no stock today", 60, 20},
	} {
		t.Run(name, func(t *testing.T) {
			const old, broken = "file:///old.jar", "file:///broken.jar"
			s := newSim(overHTTP)
			s.jar(broken, "c", "1", "no stock today")
			own(s.with(s.pod("old", "c", "1", old), "b", "1"), "w", 1)
			s.rounds(6)
			s.jar(old, "c", c.is, c.fail)
			s.jar(urlOf("b", "2"), "b", "2", "no stock today")
			own(s.with(s.pod("new", "c", "1", broken), "b", "2"), "w", 2)
			s.during(2 * time.Minute) // so b:2 backs off for longer
			s.restart()
			s.log = nil
			tried := 0
			for end := s.now.Add(time.Hour); s.now.Before(end); {
				for _, cmd := range s.round().Commands {
					if cmd.URL == old {
						tried++
					}
				}
			}
			if len(s.log) > c.most || tried < 1 || tried > c.old {
				t.Errorf("%d commands, %d of them for the old jar: %v", len(s.log), tried, s.log)
			}
			s.want(t, map[string]string{"new": ReasonInstallBackOff}, "b:1")
			s.jar(broken, "c", "1", "")
			s.jar(urlOf("b", "2"), "b", "2", "")
			s.during(11 * time.Minute)
			s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "b:2 c:1")
			if n := len(s.in.Memory.Failures) + len(s.in.Memory.Jars); n > 1 {
				t.Errorf("%d failures are remembered: %v, %v", n, s.in.Memory.Failures, s.in.Memory.Jars)
			}
			s.delete("old")
			s.rounds(5)
			if len(s.in.Memory.Jars) > 0 {
				t.Errorf("remembered of jars that nobody asks for: %v", s.in.Memory.Jars)
			}
		})
	}
}
