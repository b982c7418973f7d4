package election

import (
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// While a session runs its loops go round, whatever becomes of their requests; what has
// ended is not stuck.
func TestALiveSessionIsNotStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		r.pulse.mu.Lock()
		got := slices.Sorted(maps.Keys(r.pulse.last))
		r.pulse.mu.Unlock()
		if !slices.Equal(got, []string{loopBases, loopMembers, loopMembership}) {
			t.Errorf("the loops are %q", got)
		}
		for name, fault := range map[string]func(*link){"cut": func(l *link) { l.cut = true }, "never answered": func(l *link) { l.mute = true }} {
			r.member.set(fault)
			r.work.set(fault)
			for range 30 {
				pause(t.Context(), 10*time.Second)
				if err := r.Stuck(); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			back := func(l *link) { l.cut, l.mute = false, false }
			r.member.set(back)
			r.work.set(back)
		}
		pause(t.Context(), time.Minute)
		// It ends while a worker writes.
		var asked int
		r.work.set(func(l *link) { l.mute, asked = true, l.asked })
		for inFlight := false; !inFlight; {
			pause(t.Context(), 10*time.Millisecond)
			r.work.set(func(l *link) { inFlight = l.asked > asked })
		}
		r.end(t)
		pause(t.Context(), 2*stuckAfter)
		if err := r.Stuck(); err != nil {
			t.Errorf("after it ended: %v", err)
		}
	})
}

// A loop that does not go round is named, and its restart ends that.
func TestALoopThatIsStuckIsNamed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &Replica{}
		r.pulse.beat(loopBases)
		r.pulse.beat(loopMembers)
		time.Sleep(stuckAfter)
		r.pulse.beat(loopMembers)
		if err := r.Stuck(); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Second)
		if err := r.Stuck(); err == nil || !strings.HasSuffix(err.Error(), "no turn of: "+loopBases) {
			t.Errorf("told %v", err)
		}
		r.pulse.beat(loopBases)
		if err := r.Stuck(); err != nil {
			t.Error(err)
		}
	})
}
