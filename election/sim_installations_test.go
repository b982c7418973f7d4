package election

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
)

// beside is another installation that serves the environment of this one, as from a
// manifest that was applied in another namespace too. Nothing of it runs yet.
func (w *world) beside(pods string, seed uint64) *world {
	return newSite(w.store, site{w.site.namespace + "-copy", pods}, seed)
}

// together is what both installations did, as one world.
func together(a, b *world) *world {
	both := &world{store: a.store, site: a.site, names: a.names, processes: a.processes}
	for _, w := range []*world{a, b} {
		w.mu.Lock()
		both.acts = append(both.acts, w.acts...)
		both.wrong = append(both.wrong, w.wrong...)
		w.mu.Unlock()
	}
	return both
}

// Of two installations that serve one environment the second stands by: no base moves
// between them, and nobody acts who is not the holder.
func TestASecondInstallationStandsBy(t *testing.T) {
	for name, pods := range map[string]string{"pods of the same names": "mc", "pods of other names": "other"} {
		t.Run(name, func(t *testing.T) {
			eachSeed(t, 1, 2, func(t *testing.T, seed uint64) {
				first := settled(t, seed)
				defer first.end()
				second := first.beside(pods, seed+1000)
				core, logs := observer.New(zap.WarnLevel)
				second.log = zap.New(core)
				second.begin()
				defer second.end()
				first.wait(10 * time.Minute)
				if _, moves := first.counts(); moves != 0 {
					t.Errorf("seed %d: %d bases changed hands", seed, moves)
				}
				if held := second.heldByAll(); len(held) > 0 {
					t.Errorf("seed %d: the second one holds %v", seed, held)
				}
				if n := logs.FilterMessageSnippet("standing by").Len(); n < 9*simReplicas || n > 11*simReplicas {
					t.Errorf("seed %d: it said %d times in ten minutes that it stands by", seed, n)
				}
				for _, p := range second.processes {
					if bases, by := p.replica.Foreign(); bases != simBases || !slices.Equal(by, []string{"mc"}) || p.replica.Census().Foreign != simBases {
						t.Errorf("seed %d: it says that %d bases are held by %v", seed, bases, by)
					}
				}
				if err := errors.Join(together(first, second).checkSafe(), first.checkServed()); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			})
		})
	}
}

// heldByAll gives the bases that the processes of a world own, by their Leases.
func (w *world) heldByAll() (bases []string) {
	for _, p := range w.processes {
		bases = append(bases, w.held(p)...)
	}
	slices.Sort(bases)
	return bases
}

// A fleet moves to another installation when the first one is stopped.
func TestAFleetMovesToAnotherInstallation(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		first := settled(t, 1)
		defer first.end()
		second := first.beside("mc", 2)
		second.begin()
		defer second.end()
		first.wait(time.Minute)
		for _, p := range first.processes {
			p.stop()
		}
		first.wait(time.Minute + 20*time.Second)
		if held := second.heldByAll(); len(held) != simBases {
			t.Errorf("the second one holds %v", held)
		}
		both := together(first, second)
		if err := errors.Join(both.checkSafe(), both.checkServed()); err != nil {
			t.Error(err)
		}
	})
}

// Whatever happens to one installation, nobody of the other acts for a base beside it, and
// in the end somebody serves each.
func TestTwoInstallationsUnderFaults(t *testing.T) {
	eachSeed(t, 1, uint64(*schedules)/25+1, func(t *testing.T, seed uint64) {
		first := newWorld(seed)
		defer first.end()
		second := first.beside("mc", seed+1000)
		second.begin()
		defer second.end()
		_ = first.schedule() // it may have lost bases to the second one
		both := together(first, second)
		errs := []error{both.checkSafe()}
		for base, silence := range both.silences(time.Now().Add(-2 * time.Second)) {
			if silence >= 2*time.Second {
				errs = append(errs, fmt.Errorf("%s is not served", base))
			}
		}
		if err := errors.Join(errs...); err != nil {
			t.Errorf("seed %d: %v\n%s", seed, err, strings.Join(first.story, "\n"))
		}
	})
}
