package election

import "testing"

// Bases that are new come after all others, and as soon as they are new no more with them.
func TestNewBasesComeLast(t *testing.T) {
	isNew := map[string]bool{"n1": true, "n2": true, "n3": true}
	l := newLanes(func(key string) bool { return isNew[key] })
	pops := func(want ...string) {
		t.Helper()
		for _, key := range want {
			if got := l.Pop(); got != key {
				t.Errorf("it is the turn of %s, want %s", got, key)
			}
		}
	}
	for _, key := range []string{"n1", "a", "n2", "b", "n3"} {
		l.Push(key)
	}
	pops("a")
	isNew["n2"] = false
	l.Touch("n1")
	l.Touch("n2")
	l.Push("c")
	if l.Len() != 5 {
		t.Errorf("%d wait, want 5", l.Len())
	}
	pops("b", "n2", "c", "n1", "n3")
	isNew["n2"] = true // its Lease was deleted
	l.Push("n2")
	pops("n2")
	if l.Len() != 0 {
		t.Errorf("%d wait, want none", l.Len())
	}
}
