package election

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A stranger's Lease is taken when it was silent for its duration and ten seconds,
// and never while it is renewed.
func TestAStrangersBaseIsTakenWhenItIsSilent(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		w := settled(t, 3)
		defer w.end()
		key := leaseKey(baseName(5))
		w.usurp(key, true)
		w.renewStrange(key, time.Minute)
		if holder, ago := w.store.holder(key); holder != stranger || time.Since(ago) > time.Second {
			t.Fatalf("%s is held by %q", key, holder)
		}
		_, last := w.store.holder(key)
		for holder := stranger; holder == stranger; holder, _ = w.store.holder(key) {
			w.wait(10 * time.Millisecond)
		}
		if silent := time.Since(last); silent < strangeDuration+10*time.Second || silent > strangeDuration+13*time.Second {
			t.Errorf("it was taken after %s of silence", silent)
		}
		if err := w.checkSafe(); err != nil {
			t.Error(err)
		}
	})
}

// A stranger that renews lives, though it wrote nothing but its name at first.
func TestAStrangerThatBeginsToRenewIsLeftAlone(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		w := settled(t, 3)
		defer w.end()
		p := w.processes[0]
		key := leaseKey(w.held(p)[0])
		p.stopped.stop(5 * time.Second) // until the stranger has renewed
		w.usurp(key, false)
		w.renewStrange(key, 20*time.Second)
		if holder, _ := w.store.holder(key); holder != stranger {
			t.Errorf("%s is held by %q\n%s", key, holder, strings.Join(w.story, "\n"))
		}
		if err := w.checkSafe(); err != nil {
			t.Error(err)
		}
	})
}

// A transfer that was taken for lost arrives after all, when its sender has changed its
// mind: it serves the base, or the other one does, and never both.
func TestATransferThatArrivesLate(t *testing.T) {
	eachSeed(t, 1, 20, func(t *testing.T, seed uint64) {
		w := settled(t, seed)
		defer w.end()
		owner, others := w.processes[0], w.processes[1:]
		for _, p := range others {
			p.replica.Linked(false)
		}
		w.wait(22 * time.Second) // the owner has all, and has just renewed them
		for _, p := range others {
			p.replica.Linked(true)
			w.wait(time.Second)
		}
		w.wait(8 * time.Second) // a second later they begin to move
		owner.work.set(func(l *link) { l.latency, l.lag = 15*time.Second, 8*time.Second })
		w.wait(2 * time.Second)
		owner.work.set(onTime) // what was sent is on its way still
		for _, p := range others {
			p.replica.Linked(false)
		}
		w.wait(time.Minute)
		if err := w.checkSafe(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
}

// Who cannot read the Leases of bases has nothing to serve them by, and is assigned none.
func TestWhoKnowsNoLeasesOwnsNoBase(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		w := settled(t, 3)
		defer w.end()
		w.processes[0].kill()
		w.wait(20 * time.Second)
		blind := w.start(0, "another")
		blind.work.set(func(l *link) { l.cut = true })
		w.wait(40 * time.Second)
		if c := blind.replica.Census(); !blind.replica.Valid() || c.Owned > 0 || len(w.held(blind)) > 0 {
			t.Errorf("it may act: %v; %+v", blind.replica.Valid(), c)
		}
		if silences := w.silences(time.Now().Add(-10 * time.Second)); slices.Max(slices.Collect(maps.Values(silences))) > 2*time.Second {
			t.Errorf("somebody waits for it: %v", silences)
		}
		blind.work.set(func(l *link) { l.cut = false })
		w.wait(2 * time.Minute)
		if err := errors.Join(w.checkSafe(), w.checkServed()); err != nil || len(w.held(blind)) == 0 {
			t.Errorf("it sees again, holds %v: %v", w.held(blind), err)
		}
	})
}

// Who has the broker again keeps it: what was to be ended is over.
func TestWhoHasTheBrokerAgainIsNotEvicted(t *testing.T) {
	eachSeed(t, 1, 30, func(t *testing.T, seed uint64) {
		w := settled(t, seed)
		defer w.end()
		for _, linked := range []bool{false, true} {
			for _, p := range w.processes[1:] {
				p.replica.Linked(linked)
			}
			w.wait(20 * time.Second)
		}
		if err := errors.Join(w.checkSafe(), w.checkServed()); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
}
