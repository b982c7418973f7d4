package shard

import "testing"

// The order is what callers compare by.
func TestPhasesInOrder(t *testing.T) {
	names := map[Phase]string{Unowned: "unowned", Owned: "owned", Draining: "draining", Forced: "forced"}
	var last Phase
	for p := Unowned; p <= Forced; p++ {
		if p.String() != names[p] {
			t.Errorf("phase %d is called %q, want %q", int(p), p, names[p])
		}
		if p < last {
			t.Errorf("%s comes before %s", p, last)
		}
		last = p
	}
	if len(names) != int(Forced)+1 {
		t.Errorf("%d phases, %d names", int(Forced)+1, len(names))
	}
	for p, want := range map[Phase]string{-1: "Phase(-1)", Forced + 1: "Phase(4)"} {
		if p.String() != want {
			t.Errorf("%d is called %q, want %q", int(p), p, want)
		}
	}
	if (Claim{}).Phase != Unowned {
		t.Error("a zero claim permits something")
	}
}
