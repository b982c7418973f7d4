package lifecycle

import (
	"testing"
	"time"
)

func TestWhichHeartbeatsComeOutOfTime(t *testing.T) {
	var r rhythm
	now := noon
	for i, c := range []struct {
		gap  time.Duration
		odd  bool
		what string
	}{
		{0, false, "the first"},
		{12 * time.Second, false, "nothing to compare it with"},
		{12 * time.Second, false, "in time"},
		{12*time.Second + 700*time.Millisecond, false, "nearly in time"},
		{12 * time.Second, false, "nearly in time, the other way"},
		{5 * time.Second, true, "a new process"},
		{12 * time.Second, true, "after a pause that was none"},
		{12 * time.Second, false, "in time again"},
		{24 * time.Second, true, "one was left out"},
	} {
		now = now.Add(c.gap)
		if got := r.breaks(now); got != c.odd {
			t.Errorf("%d, %s: out of time %v", i, c.what, got)
		}
	}
}
