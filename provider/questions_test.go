package provider

import (
	"fmt"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"module-controller/provider/lifecycle"
	"module-controller/tunnel"
)

// The budget decides how often a quiet base is asked, between LIST_INTERVAL and
// QUIET_LIST_INTERVAL.
func TestTheBudgetOfQuestionsIsSpentOnQuietBasesLast(t *testing.T) {
	for _, c := range []struct {
		rate        float64
		early, late int
	}{{100, 1, 1}, {0.001, 0, 1}} {
		t.Run(fmt.Sprint(c.rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := newTestProvider(t, Config{Config: lifecycle.Config{QuestionRate: c.rate}}, nil)
				var lists atomic.Int32
				p.wire.leaves = func(c tunnel.Command) {
					if c.Verb == tunnel.ListModules {
						lists.Add(1)
					}
				}
				p.runs()
				p.serves()
				asked := func(d time.Duration) int {
					before := lists.Load()
					for range d / (10 * time.Second) {
						p.passes(10 * time.Second)
						p.beats()
					}
					return int(lists.Load() - before)
				}
				p.passes(7 * time.Second)
				p.beats()
				asked(10 * time.Second) // what is uncertain at first was asked: after 8 s, and after 16 s
				if early := asked(30 * time.Second); early != c.early {
					t.Errorf("asked %d times in the half minute when it is asked as long as there is room, want %d", early, c.early)
				}
				if late := asked(40 * time.Second); late != c.late {
					t.Errorf("asked %d times in the time when a minute has passed, want %d", late, c.late)
				}
			})
		})
	}
}
