package history

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// observed is a good history with its memberships: a-2 is of another version, and comes
// after 10 s.
func observed(sessions ...Session) *History {
	h := good()
	h.Sessions = append([]Session{{at(0), "a-1", "a_1", "v1"}, {at(10), "a-2", "a_2", "v2"}}, sessions...)
	return h
}

func TestHowLongABaseHasNoOwner(t *testing.T) {
	for name, c := range map[string]struct {
		h    *History
		want time.Duration
	}{
		"its owner is a member until the next one has it": {observed(), 0},
		"its owner is expired before":                     {observed(Session{at(21), "a-1", "", "v1"}), 3 * time.Second},
		"its owner is replaced before":                    {observed(Session{at(22), "a-1", "a_3", "v1"}), 2 * time.Second},
		"the last owner leaves, and nobody comes":         {observed(Session{at(90), "a-2", "", "v2"}), 10 * time.Second},
		"another member leaves":                           {observed(Session{at(50), "a-1", "", "v1"}), 0},
		"a holder that was never a member": {func() *History {
			h := observed()
			h.Claims[1].Holder = "a_9"
			return h
		}(), 76 * time.Second},
		"not observed": {good(), 0},
	} {
		t.Run(name, func(t *testing.T) {
			if _, r := c.h.Check(); r.Unowned != c.want {
				t.Errorf("a base had no owner for %s, want %s", r.Unowned, c.want)
			}
		})
	}
}

func TestVersionsSideBySide(t *testing.T) {
	h := observed(Session{at(50), "a-1", "", "v1"})
	if d := cmp.Diff([][]string{{"v1"}, {"v1", "v2"}, {"v2"}}, h.Together()); d != "" {
		t.Errorf("together were (-want +got):\n%s", d)
	}
	if d := cmp.Diff(map[string]int{"v1": 1, "v2": 1}, h.HeldBy()); d != "" {
		t.Errorf("claims by version (-want +got):\n%s", d)
	}
}
