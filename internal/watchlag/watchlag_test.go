package watchlag

import (
	"strconv"
	"testing"
	"time"
)

var start = time.Unix(1000, 0)

func at(seconds float64) time.Time { return start.Add(time.Duration(seconds * float64(time.Second))) }

// followed gives the lag of a watch that shows a version, which the test sets.
func followed(shown *string) *Lag {
	l := &Lag{}
	l.Follow(func() string { return *shown })
	return l
}

// A watch is behind from when a write was answered until it shows that, or what is later.
func TestAWatchIsBehindByItsOldestWrite(t *testing.T) {
	shown := "10"
	l := followed(&shown)
	for _, step := range []struct {
		wrote, shown string
		at           float64
		want         time.Duration
	}{
		{at: 0},                        // nothing was written
		{wrote: "11", at: 1},           // just now
		{at: 4, want: 3 * time.Second}, // and not shown yet
		{wrote: "15", at: 5, want: 4 * time.Second}, // nor is a later one: the oldest counts
		{shown: "12", at: 6, want: time.Second},     // by others; the first is shown with it
		{shown: "15", at: 7},                        // all are shown
		{wrote: "9", at: 8},                         // it changed nothing: that was shown before
		{wrote: "", at: 9},                          // no version, which cannot be waited for
		{wrote: "16", at: 10},
		{shown: "", at: 12, want: 2 * time.Second}, // it begins anew, and has shown nothing yet
		{shown: "99", at: 13},
	} {
		if step.wrote != "" || step.at == 9 {
			l.Wrote(step.wrote, at(step.at))
		}
		if step.shown != "" || step.at == 12 {
			shown = step.shown
		}
		if got := l.At(at(step.at)); got != step.want {
			t.Errorf("at %vs it is %s behind, want %s", step.at, got, step.want)
		}
	}
}

// What was written before anything is watched is not waited for, nor what an earlier watch
// owed.
func TestWhatWasWrittenBeforeDoesNotCount(t *testing.T) {
	l := &Lag{}
	l.Wrote("1", at(0))
	if got := l.At(at(5)); got != 0 {
		t.Errorf("nothing is watched, and it is %s behind", got)
	}
	none := func() string { return "" }
	l.Follow(none)
	if got := l.At(at(5)); got != 0 {
		t.Errorf("%s behind by a write before the watch", got)
	}
	l.Wrote("2", at(6))
	l.Follow(none)
	if got := l.At(at(9)); got != 0 {
		t.Errorf("%s behind by a write that an earlier watch owed", got)
	}
}

// Many writes that are not shown cost little, and the lag is right all the same.
func TestManyWritesCostLittle(t *testing.T) {
	shown := "0"
	l := followed(&shown)
	now := at(0)
	for n := range 100_000 {
		l.Wrote(strconv.Itoa(n+1), now)
		now = now.Add(10 * time.Millisecond)
	}
	if got, want := l.At(now), now.Sub(at(0)); got != want {
		t.Errorf("%s behind, want %s", got, want)
	}
	if n := len(l.writes); n > most {
		t.Errorf("%d writes are noted, want %d at most", n, most)
	}
	shown = "50" // half a second of them
	if got, want := l.At(now), now.Sub(at(0.5)); got != want {
		t.Errorf("%s behind, want %s", got, want)
	}
}
