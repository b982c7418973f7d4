package plan

import "testing"

// Every state has a name and something to show, or the tables have a hole.
func TestEveryStateIsShown(t *testing.T) {
	names := map[string]bool{}
	for s := range wantState(wantStates) {
		if names[s.String()] || s.String() == "" {
			t.Errorf("state %d has the name %q", s, s)
		}
		names[s.String()] = true
		if shows[s] == nil {
			t.Errorf("nothing is shown of %s", s)
		}
	}
}
