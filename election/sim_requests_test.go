package election

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
)

// What people ask of members, at any moment and beside faults: to give bases up, and to have
// one. Requests are wishes, so whatever is asked, what must hold holds.

// annotate changes annotations of a membership Lease as a person would; nil takes one away. The
// judges go by when a member wrote it, which a person's word does not change.
func (w *world) annotate(pod string, notes map[string]*string) {
	s, key := w.store, w.site.memberKey(pod)
	s.mu.Lock()
	written := s.written[key]
	s.mu.Unlock()
	edited := s.edit(key, func(l *coordinationv1.Lease) bool {
		for key, value := range notes {
			if value == nil {
				delete(l.Annotations, key)
				continue
			}
			put(&l.Annotations, key, *value)
		}
		return true
	})
	if !edited {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.written[key] = written
}

// pin has bases be a member's until a time, and no other member's.
func (w *world) pin(pod string, until time.Time, bases ...string) {
	pins := map[string]time.Time{}
	for _, base := range bases {
		pins[base] = until
	}
	for _, p := range w.processes {
		w.annotate(p.pod, Pin(nil))
	}
	w.annotate(pod, Pin(pins))
}

// ask has somebody ask something of a member, or take it back.
func (w *world) ask() {
	p := w.processes[w.rng.IntN(len(w.processes))]
	switch w.rng.IntN(5) {
	case 0, 1:
		w.tell("%s is cordoned", p.pod)
		w.annotate(p.pod, Cordon(true))
	case 2:
		w.tell("%s is cordoned no longer", p.pod)
		w.annotate(p.pod, Cordon(false))
	default:
		base, long := w.names[w.rng.IntN(len(w.names))], time.Duration(w.rng.Int64N(int64(time.Minute)))
		w.tell("%s is pinned to %s for %s", base, p.pod, long)
		w.pin(p.pod, time.Now().Add(long), base)
	}
}

// checkAsked says who is cordoned and owns bases all the same, and which base is not where it
// is pinned to.
func (w *world) checkAsked(cordoned string, pins map[string]string) error {
	var errs []error
	for base, owner := range w.owners() {
		switch to := pins[base]; {
		case owner == cordoned:
			errs = append(errs, fmt.Errorf("%s is owned by %s, which is cordoned", base, owner))
		case to != "" && owner != to:
			errs = append(errs, fmt.Errorf("%s is owned by %s and pinned to %s", base, owner, to))
		}
	}
	return errors.Join(errs...)
}

// Whatever is asked at whatever moment, and whatever happens beside it, no two act for a base
// and every base is served in the end, where it was asked for; and where it belongs once nothing
// is asked for any more.
func TestRequestsUnderFaults(t *testing.T) {
	eachSeed(t, 1, uint64(*schedules)/10+1, func(t *testing.T, seed uint64) {
		w := newSite(newStore(), site{"mc", "mc"}, seed)
		w.vary = true
		w.begin()
		defer w.end()
		w.wait(5 * time.Second)
		for range simFaults {
			w.ask()
			w.wait(time.Duration(w.rng.Int64N(int64(4 * time.Second))))
			w.happen()
			w.revive()
			w.ask()
			w.wait(time.Duration(w.rng.Int64N(int64(8 * time.Second))))
		}
		w.tell("the faults end")
		w.wait(time.Minute + 10*time.Second)
		w.revive()
		w.wait(30 * time.Second)
		errs := []error{w.checkSafe(), w.checkHeard()}

		cordoned, to, base := w.processes[0].pod, w.processes[1].pod, w.names[w.rng.IntN(len(w.names))]
		for _, p := range w.processes {
			w.annotate(p.pod, Cordon(p.pod == cordoned))
		}
		w.pin(to, time.Now().Add(time.Hour), base)
		w.tell("%s is cordoned, and %s pinned to %s", cordoned, base, to)
		w.wait(time.Minute)
		errs = append(errs, w.checkAsked(cordoned, map[string]string{base: to}), w.checkHeard())

		w.annotate(cordoned, Cordon(false))
		w.pin(to, time.Now())
		w.tell("nothing is asked for any more")
		w.wait(time.Minute)
		errs = append(errs, w.checkSafe(), w.checkServed())
		if err := errors.Join(errs...); err != nil {
			t.Errorf("schedule %d (go test -run TestRequestsUnderFaults ./election -args -seed=%d): %v\n%s", seed, seed, err, strings.Join(w.story, "\n"))
		}
	})
}

// checkHeard says which bases are served by nobody now.
func (w *world) checkHeard() error {
	var errs []error
	for base, silence := range w.silences(time.Now().Add(-2 * time.Second)) {
		if silence >= 2*time.Second {
			errs = append(errs, fmt.Errorf("%s is not served", base))
		}
	}
	return errors.Join(errs...)
}

// epochs gives those of the bases.
func (w *world) epochs() map[string]int32 {
	epochs := map[string]int32{}
	for _, l := range w.store.snapshot("kube-node-lease") {
		epochs[l.Name] = parse(l).Epoch
	}
	return epochs
}

// A cordoned member gives all that it has by handovers, each base once; it takes nothing when
// another dies, and gets its share back once it is cordoned no longer. It stays cordoned when
// its pod is another.
func TestACordonedMember(t *testing.T) {
	eachSeed(t, 1, 4, func(t *testing.T, seed uint64) {
		w := settled(t, seed)
		defer w.end()
		p, began := w.processes[2], time.Now()
		had, before := len(w.held(p)), w.epochs()
		w.annotate(p.pod, Cordon(true))
		w.wait(20 * time.Second)
		if _, moves := w.counts(); moves > had+simReplicas || len(w.held(p)) != 0 { // others exchange some, to share evenly
			t.Errorf("seed %d: it had %d bases and has %d; bases moved %d times", seed, had, len(w.held(p)), moves)
		}
		for base, epoch := range w.epochs() {
			if moves := epoch - before[base]; moves > 1 {
				t.Errorf("seed %d: %s moved %d times", seed, base, moves)
			}
		}
		if silence, base := w.longest(began); silence > short {
			t.Errorf("seed %d: %s was served by nobody for %s", seed, base, silence)
		}
		terminate(w, p, 0)
		p = w.processes[2]
		w.processes[0].kill()
		w.wait(time.Minute)
		if held := w.held(p); len(held) != 0 {
			t.Errorf("seed %d: it took %v", seed, held)
		}
		if n := len(w.held(w.processes[1])); n != simBases {
			t.Errorf("seed %d: the one that is left has %d bases", seed, n)
		}
		w.start(0, "uid-0+")
		w.annotate(p.pod, Cordon(false))
		w.wait(time.Minute)
		if err := errors.Join(w.checkSafe(), w.checkServed()); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
}

// Where only cordoned members are left, they serve.
func TestWhereAllAreCordoned(t *testing.T) {
	eachSeed(t, 1, 4, func(t *testing.T, seed uint64) {
		w := settled(t, seed)
		defer w.end()
		for _, p := range w.processes {
			w.annotate(p.pod, Cordon(true))
		}
		w.wait(20 * time.Second)
		w.processes[1].kill()
		w.wait(time.Minute)
		w.start(1, "uid-1+")
		w.wait(time.Minute)
		if err := errors.Join(w.checkSafe(), w.checkServed()); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
}

// A base that is pinned to a member goes there and no other moves; it goes to another while
// that one is away, comes back, and goes where it belongs when the pin is over, however wrong
// clocks are. The pin is gone from the Lease then.
func TestAPinnedBase(t *testing.T) {
	eachSeed(t, 1, 4, func(t *testing.T, seed uint64) {
		w := settled(t, seed)
		defer w.end()
		from, to := w.processes[0], w.processes[1]
		clocks(-20*time.Second, 10*time.Second, 15*time.Second)(w, nil)
		base, began := w.held(from)[0], time.Now()
		const long = 5 * time.Minute
		owned := func(p *process) bool { return slices.Contains(w.held(p), base) }
		w.pin(to.pod, began.Add(long), base)
		w.wait(10 * time.Second)
		if _, moves := w.counts(); moves != 1 || !owned(to) {
			t.Errorf("seed %d: bases moved %d times, and it is %s's", seed, moves, w.owners()[base])
		}
		if silence, base := w.longest(began); silence > short {
			t.Errorf("seed %d: %s was served by nobody for %s", seed, base, silence)
		}
		to.kill()
		w.wait(30 * time.Second)
		if owned(to) || w.owners()[base] == "" {
			t.Errorf("seed %d: while that one is away it is %q's", seed, w.owners()[base])
		}
		to = w.start(1, "uid-1+")
		w.wait(time.Minute)
		if !owned(to) {
			t.Errorf("seed %d: it did not come back: it is %s's", seed, w.owners()[base])
		}
		w.wait(long)
		w.mu.Lock()
		w.moves = 0
		w.mu.Unlock()
		if owned(to) || w.owners()[base] == "" {
			t.Errorf("seed %d: after the pin is over it is %q's", seed, w.owners()[base])
		}
		w.wait(time.Minute)
		if _, moves := w.counts(); moves != 0 {
			t.Errorf("seed %d: bases moved %d times long after the pin was over", seed, moves)
		}
		if err := errors.Join(w.checkSafe(), w.checkServed()); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
		for _, l := range w.store.snapshot("mc") {
			if pins := l.Annotations[notePins]; pins != "" {
				t.Errorf("seed %d: %s has the pin %s still", seed, l.Name, pins)
			}
		}
	})
}
