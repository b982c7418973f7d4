package election

import (
	"testing"
	"testing/synctest"
	"time"
)

// A watch of bases that shows nothing more is behind by what this replica wrote since; that of
// members, which goes on, is not. Once the changes are shown none is behind.
func TestAWatchThatShowsNothingIsBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := runGiver(t, 100, few(), nil)
		defer g.end()
		pause(t.Context(), time.Minute)
		inTime := func(lag time.Duration) bool { return lag < time.Second }
		if h := g.Health(); !inTime(h.BasesLag) || !inTime(h.MembersLag) {
			t.Errorf("the watches are behind: of bases by %s, of members by %s", h.BasesLag, h.MembersLag)
		}
		g.work.set(func(l *link) { l.still = true })
		pause(t.Context(), time.Minute) // in which each Lease is renewed
		if h := g.Health(); h.BasesLag < 20*time.Second || h.BasesLag > time.Minute || !inTime(h.MembersLag) {
			t.Errorf("a watch of bases that stood still for a minute is %s behind, and that of members %s", h.BasesLag, h.MembersLag)
		}
		g.work.set(func(l *link) { l.still = false })
		pause(t.Context(), 10*time.Second)
		if h := g.Health(); !inTime(h.BasesLag) || !inTime(h.MembersLag) {
			t.Errorf("the watches have gone on, and are behind: of bases by %s, of members by %s", h.BasesLag, h.MembersLag)
		}
	})
}
