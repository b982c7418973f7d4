package scaling

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"
)

var start = time.Unix(1_000_000, 0)

// A story is what is seen of a Deployment at times, and what is decided.
func TestWhatIsDecided(t *testing.T) {
	type look struct {
		at              time.Duration // since the start
		replicas, count int
		to              int // that it is scaled to; -1 where it is not
	}
	for name, story := range map[string][]look{
		"bases join":                         {{0, 3, 4, -1}, {time.Second, 3, 6, -1}, {2 * time.Second, 3, 7, 7}},
		"one joins and is gone at once":      {{0, 3, 4, -1}, {time.Second, 3, 3, -1}, {10 * time.Second, 3, 4, -1}},
		"a base leaves":                      {{0, 4, 3, -1}, {119 * time.Second, 4, 3, -1}, {120 * time.Second, 4, 3, 3}},
		"a base flaps":                       {{0, 4, 3, -1}, {100 * time.Second, 4, 4, -1}, {101 * time.Second, 4, 3, -1}, {220 * time.Second, 4, 3, -1}},
		"one leaves while another one flaps": {{0, 4, 2, -1}, {60 * time.Second, 4, 3, -1}, {61 * time.Second, 4, 2, -1}, {120 * time.Second, 4, 2, 3}},
		"a session begins while all are away and are back in a minute": {{0, 50, 0, -1}, {60 * time.Second, 50, 50, -1}, {200 * time.Second, 50, 50, -1}},
		"fewer, and then more than ever":                               {{0, 4, 3, -1}, {110 * time.Second, 4, 5, -1}, {112 * time.Second, 4, 5, 5}},
		"no base is left":                                              {{0, 1, 0, -1}, {120 * time.Second, 1, 0, 0}},
	} {
		t.Run(name, func(t *testing.T) {
			var d Damper
			for _, l := range story {
				do := d.Look(l.replicas, l.count, Config{}.Complete(), start.Add(l.at))
				if want := (l.to >= 0); do.Scale != want || want && do.To != l.to {
					t.Errorf("after %s with %d replicas and %d bases: %+v, want %d", l.at, l.replicas, l.count, do, l.to)
				}
			}
		})
	}
}

// Until a scaling is seen nothing more is due, and whoever waits is told for how long.
func TestAScalingIsDueOnce(t *testing.T) {
	c := Config{After: time.Minute, Settle: time.Second}
	var d Damper
	if do := d.Look(4, 3, c, start); do != (Decision{Wait: time.Minute}) {
		t.Errorf("first look: %+v", do)
	}
	if do := d.Look(4, 3, c, start.Add(time.Minute)); do != (Decision{Scale: true, To: 3}) {
		t.Errorf("a minute later: %+v", do)
	}
	if do := d.Look(4, 3, c, start.Add(time.Minute)); !do.Scale {
		t.Errorf("it failed, and is not tried again: %+v", do)
	}
	d.Scaled()
	if do := d.Look(4, 3, c, start.Add(time.Minute)); do.Scale {
		t.Errorf("it succeeded and is tried again: %+v", do)
	}
	if do := d.Look(3, 3, c, start.Add(2*time.Minute)); do != (Decision{}) {
		t.Errorf("all is well: %+v", do)
	}
}

// Whatever is seen and when: replicas are taken away only where the count was lower all the
// time, and never below what there was in that time; they are added only up to what there is.
func TestNothingIsTakenAwayInHaste(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		c := Config{}.Complete()
		var d Damper
		type look struct {
			at    time.Time
			count int
		}
		var seen []look
		now, replicas := start, rapid.IntRange(0, 10).Draw(t, "replicas")
		for range rapid.IntRange(1, 60).Draw(t, "looks") {
			now = now.Add(time.Duration(rapid.IntRange(0, 40_000).Draw(t, "ms")) * time.Millisecond)
			count := rapid.IntRange(0, 10).Draw(t, "count")
			seen = append(seen, look{now, count})
			do := d.Look(replicas, count, c, now)
			if !do.Scale {
				continue
			}
			if do.To > replicas && do.To != count {
				t.Fatalf("scaled up from %d to %d, there are %d bases", replicas, do.To, count)
			}
			if do.To < replicas {
				covered := false
				for _, was := range slices.Backward(seen) {
					if was.count >= replicas || was.count > do.To {
						t.Fatalf("scaled down from %d to %d, there were %d bases %s ago", replicas, do.To, was.count, now.Sub(was.at))
					}
					if covered = now.Sub(was.at) >= c.After; covered {
						break
					}
				}
				if !covered {
					t.Fatalf("scaled down %s after the first look", now.Sub(seen[0].at))
				}
			}
			replicas = do.To
			d.Scaled()
		}
	})
}

func TestTimesAreChecked(t *testing.T) {
	if err := (Config{}).Complete().Validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	for _, c := range []Config{{After: time.Millisecond, Settle: time.Second}, {After: time.Minute, Settle: -1}} {
		if c.Validate() == nil {
			t.Errorf("%+v is accepted", c)
		}
	}
}
