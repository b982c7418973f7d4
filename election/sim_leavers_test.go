package election

import (
	"testing"
	"time"
)

// Replicas that end at once, as those do that a StatefulSet has too many.

const (
	teamOf   = 5
	teamHas  = 60 // bases
	leaveAll = 3  // of the team
)

// team is a world of five replicas, in which everything is as it should be.
func team(t *testing.T, seed uint64) *world {
	t.Helper()
	w := newSite(newStore(), site{"mc", "mc"}, seed)
	w.size(teamOf, teamHas)
	w.begin()
	w.wait(time.Minute)
	if err := w.checkServed(); err != nil {
		t.Fatal(err)
	}
	return w
}

// leave ends replicas, each up to a while after the one before, and gives how many bases they
// had and how long the last of them took to end.
func (w *world) leave(leavers []*process, apart time.Duration) (had int, took time.Duration) {
	for _, p := range leavers {
		had += len(w.held(p))
	}
	w.mu.Lock()
	w.moves = 0
	w.mu.Unlock()
	for i, p := range leavers {
		if i > 0 {
			w.wait(time.Duration(w.rng.Int64N(int64(apart))))
		}
		p.stop()
	}
	began := time.Now()
	for _, p := range leavers {
		<-p.crashed.Done()
	}
	return had, time.Since(began)
}

// Who ends together with others gives its bases to those who stay, and each moves once,
// however late the watches show who ends.
func TestThoseWhoEndAtOnceGiveNothingToEachOther(t *testing.T) {
	for name, c := range map[string]struct{ apart, lag time.Duration }{
		"within 100 ms":                            {50 * time.Millisecond, usualLag},
		"within 100 ms, and watches lag":           {50 * time.Millisecond, 250 * time.Millisecond},
		"one by one in half a second":              {250 * time.Millisecond, usualLag},
		"one by one in half a second, watches lag": {250 * time.Millisecond, 250 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			eachSeed(t, 1, 2, func(t *testing.T, seed uint64) {
				w := team(t, seed)
				defer w.end()
				for _, p := range w.processes {
					p.member.set(func(l *link) { l.lag = c.lag })
				}
				w.wait(3 * time.Second)
				began := time.Now()
				had, took := w.leave(w.processes[teamOf-leaveAll:], c.apart)
				if _, moves := w.counts(); moves != had {
					t.Errorf("seed %d: %d bases of those who left moved %d times", seed, had, moves)
				}
				if took > 5*time.Second {
					t.Errorf("seed %d: they took %s to leave", seed, took)
				}
				if silence, base := w.longest(began); silence > short {
					t.Errorf("seed %d: %s was served by nobody for %s", seed, base, silence)
				}
				if err := w.checkSafe(); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			})
		})
	}
}

// Who sees nothing of the others when it ends waits for what a list shows, and leaves long
// before its time is over.
func TestWhoSeesNobodyLeavesAllTheSame(t *testing.T) {
	eachSeed(t, 1, 4, func(t *testing.T, seed uint64) {
		w := team(t, seed)
		defer w.end()
		leaver := w.processes[teamOf-1]
		leaver.member.set(func(l *link) { l.still = true })
		began := time.Now()
		had, took := w.leave([]*process{leaver}, time.Second)
		if _, moves := w.counts(); moves != had || took > 9*time.Second {
			t.Errorf("seed %d: its %d bases moved %d times in %s", seed, had, moves, took)
		}
		if silence, base := w.longest(began); silence > short {
			t.Errorf("seed %d: %s was served by nobody for %s", seed, base, silence)
		}
		if err := w.checkSafe(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
}

// Where all end at once nobody gives anything to anybody.
func TestWhereAllEndBasesAreReleased(t *testing.T) {
	eachSeed(t, 1, 2, func(t *testing.T, seed uint64) {
		w := team(t, seed)
		defer w.end()
		had, took := w.leave(w.processes, 50*time.Millisecond)
		if _, moves := w.counts(); moves != had || took > 5*time.Second {
			t.Errorf("seed %d: %d bases moved %d times in %s", seed, had, moves, took)
		}
		for base, owner := range w.owners() {
			if owner != "" {
				t.Errorf("seed %d: %s is %s's", seed, base, owner)
			}
		}
	})
}
