package plan

import (
	"fmt"
	"testing"
	"time"
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
