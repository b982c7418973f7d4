package mqtttunnel

import (
	"testing"
	"time"
)

// Connections that are taken away again and again are told from those that fail, and
// from a broker that restarts now and then.
func TestConnectionsThatAreTakenAway(t *testing.T) {
	type end struct {
		after, lasted time.Duration // since the end before; zero lasted: there was none
		taken         bool
	}
	for name, ends := range map[string][]end{
		"taken":              {{0, time.Second, false}, {time.Second, time.Second, false}, {2 * time.Second, time.Second, true}, {time.Second, time.Second, false}},
		"taken, with pauses": {{0, time.Second, false}, {25 * time.Second, 10 * time.Second, false}, {25 * time.Second, 10 * time.Second, true}},
		"no broker":          {{0, 0, false}, {time.Second, 0, false}, {time.Second, 0, false}, {time.Second, 0, false}},
		"restarts":           {{0, time.Second, false}, {40 * time.Second, time.Second, false}, {40 * time.Second, time.Second, false}, {40 * time.Second, time.Second, false}},
		"long ones between":  {{0, time.Second, false}, {time.Second, time.Second, false}, {31 * time.Second, 31 * time.Second, false}, {time.Second, time.Second, false}},
	} {
		t.Run(name, func(t *testing.T) {
			r, now := retry{ceiling: backOffBase}, time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
			for n, e := range ends {
				now = now.Add(e.after)
				if _, taken := r.ended(e.lasted > 0, e.lasted, now); taken != e.taken {
					t.Errorf("end %d: taken %t, want %t", n, taken, e.taken)
				}
			}
		})
	}
}

func TestThePauseGrowsUntilAConnectionIsGood(t *testing.T) {
	r, now := retry{ceiling: backOffBase}, time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	for n, want := range []time.Duration{500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, backOffMax, backOffMax} {
		if got, _ := r.ended(n%2 == 0, time.Second, now); got != want {
			t.Errorf("pause %d: at most %s, want %s", n, got, want)
		}
	}
	if got, _ := r.ended(true, goodSession, now); got != backOffBase {
		t.Errorf("after a good connection at most %s", got)
	}
}
