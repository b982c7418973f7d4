package shard

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// attentive is mc-0 with bases that take their turns when they asked to, or when a change
// concerns them. All that is written succeeds at once.
type attentive struct {
	*State
	now   time.Time
	rev   uint64
	again map[string]time.Time // when a base asked to take its turn; none for one that did not
}

func (a *attentive) turn(key string) {
	delete(a.again, key)
	for range 5 {
		step, wait := a.Turn(key, a.now)
		switch {
		case step.Changed() && step.Became == Draining:
			a.Drained(key)
		case step.Kind == AskMember:
			a.turns(a.Concerned(a.Asked(step.Incarnation, nil, a.now), a.now))
		case step.Kind == Nothing:
			if wait > 0 {
				a.again[key] = a.now.Add(wait)
			}
			return
		default:
			a.rev++
			l := Lease{Holder: a.Self, Epoch: step.Epoch, Revision: a.rev, Renewed: a.now, Duration: 40 * time.Second}
			if step.HandsOver() {
				l.Holder, l.Released = step.To.Holder, step.Kind == ReleaseBase
			}
			a.Wrote(key, step, l, a.now)
		}
	}
}

func (a *attentive) turns(keys []string) {
	for _, key := range keys {
		a.turn(key)
	}
}

// pass has time pass, in which bases take the turns that they asked for.
func (a *attentive) pass(d time.Duration) {
	for end := a.now.Add(d); a.now.Before(end); a.now = a.now.Add(100 * time.Millisecond) {
		a.Renewed(a.now, a.now, a.RenewDeadline)
		for _, m := range a.members { // all that live renew
			if renewed := m.Member; m.Holder != "" {
				a.rev++
				renewed.Revision, renewed.Renewed = a.rev, a.now
				a.SeeMember(renewed, a.now)
			}
		}
		a.turns(a.Shifted(a.now))
		called, _ := a.Next(a.now)
		a.turns(called)
		for _, key := range a.Bases() {
			if at, asked := a.again[key]; asked && !a.now.Before(at) {
				a.turn(key)
			}
		}
	}
}

// overlooked says what a base that a change does not concern would do now, or sooner than it
// asked to; empty for nothing, and for one that asks in a moment anyway.
func (a *attentive) overlooked(key string) string {
	asked, asks := a.again[key]
	if asks && asked.Sub(a.now) <= coldRetry {
		return ""
	}
	step, wait := a.Turn(key, a.now)
	switch {
	case step.Kind != Nothing, step.Changed():
		return tell(step, wait)
	case wait > 0 && (!asks || asked.After(a.now.Add(wait))):
		return fmt.Sprintf("it would ask again after %s, but asked for %s", wait, asked.Sub(a.now))
	}
	return ""
}

// A change that does not concern a base changes nothing of what that does next.
func TestABaseThatAChangeDoesNotConcernHasNothingToDo(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a := &attentive{State: NewState(Identity{Incarnation: "mc-0_00000000"}, Timing{}), now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), rev: 1, again: map[string]time.Time{}}
		a.Renewed(a.now, a.now, a.RenewDeadline)
		session := [4]int{}
		see := func(i int, change func(m *Member)) Change {
			a.rev++
			m := Member{Name: fmt.Sprintf("mc-%d", i), Holder: fmt.Sprintf("mc-%d_%08d", i, session[i]), Revision: a.rev, Linked: true, Renewed: a.now, Requests: Requests{Obeys: true}}
			change(&m)
			return a.SeeMember(m, a.now)
		}
		for i := range session {
			see(i, func(*Member) {})
		}
		for i := range 16 {
			key := fmt.Sprintf("base-%d", i)
			a.Request(key, false, a.now)
			if i%2 == 0 {
				a.rev++
				a.SeeBase(key, Lease{Holder: fmt.Sprintf("mc-%d_00000000", i/2%4), Epoch: 1, Revision: a.rev, Duration: 40 * time.Second}, a.now)
			}
		}
		a.now = a.now.Add(reassignEvery) // until the assignment is of all bases
		a.turns(a.Bases())
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			a.pass(time.Duration(rapid.IntRange(0, 40).Draw(t, "tenths")) * 100 * time.Millisecond)
			i := rapid.IntRange(0, 3).Draw(t, "member")
			pin := map[string]time.Time{fmt.Sprintf("base-%d", rapid.IntRange(0, 15).Draw(t, "base")): a.now.Add(time.Hour)}
			events := map[string]func() Change{
				"linked":                      func() Change { return see(i, func(*Member) {}) },
				"unlinked":                    func() Change { return see(i, func(m *Member) { m.Linked = false }) },
				"draining":                    func() Change { return see(i, func(m *Member) { m.Draining = true }) },
				"cordoned":                    func() Change { return see(i, func(m *Member) { m.Cordoned = true }) },
				"cordoned without its broker": func() Change { return see(i, func(m *Member) { m.Cordoned, m.Linked = true, false }) },
				"pinned":                      func() Change { return see(i, func(m *Member) { m.Pins = pin }) },
				"earlier":                     func() Change { return see(i, func(m *Member) { m.Requests = Requests{Cordoned: true} }) },
			}
			if i > 0 {
				events["expired"] = func() Change { return see(i, func(m *Member) { m.Last, m.Holder = m.Holder, "" }) }
				events["left"] = func() Change { return see(i, func(m *Member) { m.Last, m.Holder, m.Released = m.Holder, "", true }) }
				events["again"] = func() Change { session[i]++; return see(i, func(*Member) {}) }
				events["gone"] = func() Change { a.rev++; return a.MemberGone(fmt.Sprintf("mc-%d", i), a.rev, a.now) }
			}
			what := rapid.SampledFrom(slices.Sorted(maps.Keys(events))).Draw(t, "event")
			concerned := a.Concerned(events[what](), a.now)
			for _, key := range a.Bases() {
				if slices.Contains(concerned, key) {
					continue
				}
				if does := a.overlooked(key); does != "" {
					t.Fatalf("mc-%d %s: %s is not concerned, but %s", i, what, key, does)
				}
			}
			a.turns(concerned)
		}
	})
}
