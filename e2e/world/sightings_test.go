package world

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// What is Ready, was, and is gone is told apart, whatever is seen again.
func TestSightings(t *testing.T) {
	s := &Sightings{of: map[string]*sighting{}}
	s.see("a", false, false)
	s.see("a", true, false)
	first := s.Of("a").Ready
	s.see("a", true, false) // as it was
	s.see("a", false, false)
	s.see("a", true, false)
	s.see("a", true, true)
	s.see("b", false, true) // never Ready
	<-s.WhenReady("a")
	<-s.WhenGone("b")
	select {
	case <-s.WhenReady("b"):
		t.Error("b was never Ready")
	default:
	}
	if a := s.Of("a"); first.IsZero() || a.Ready != first || a.Gone.IsZero() {
		t.Errorf("a is %v, want it Ready first at %s, and gone", a, first)
	}
	if lost := s.Lost(); len(lost) != 1 {
		t.Errorf("lost %v, want one loss of a", lost)
	}
}

func TestRatedBetween(t *testing.T) {
	began := time.Now()
	r := &Rated{}
	for n := range 200 {
		bound := began.Add(time.Duration(n) * time.Second)
		r.took = append(r.took, lasted{bound, bound.Add(time.Duration(n) * time.Millisecond)})
	}
	want := Latency{Pods: 100, P50: 150 * time.Millisecond, P99: 199 * time.Millisecond, Max: 199 * time.Millisecond}
	if diff := cmp.Diff(want, r.Between(began.Add(100*time.Second), began.Add(time.Hour))); diff != "" {
		t.Error(diff)
	}
	if l := r.Between(began.Add(-time.Hour), began); l.Pods != 0 {
		t.Errorf("%v, want no pod", l)
	}
}
