package election

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// settled is a world in which everything is as it should be.
func settled(t *testing.T, seed uint64) *world {
	t.Helper()
	w := newWorld(seed)
	w.wait(30 * time.Second)
	if err := w.checkServed(); err != nil {
		t.Fatal(err)
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.expired, w.moves = 0, 0
	return w
}

// longest gives the longest silence about a base, and which.
func (w *world) longest(since time.Time) (silence time.Duration, base string) {
	for b, s := range w.silences(since) {
		if s > silence {
			silence, base = s, b
		}
	}
	return silence, base
}

// held gives the bases that a process owns, by their Leases.
func (w *world) held(p *process) (bases []string) {
	for _, l := range w.store.snapshot("kube-node-lease") {
		if holderOf(l) == p.incarnation {
			bases = append(bases, l.Name)
		}
	}
	return bases
}

// short is a silence about a base that is none.
const short = time.Second

// What one fault alone does, of which nobody dies: how many members are killed for
// it, how many bases change hands, and for how long a base is served by nobody.
func TestOneFaultAlone(t *testing.T) {
	quiet()
	const some = -1
	for name, c := range map[string]struct {
		happen         func(w *world, p *process)
		expired, moves int
		silence        time.Duration
	}{
		"the API is away for a minute":                 {apiAway(time.Minute), 0, 0, 66 * time.Second},
		"the API is away for ten minutes":              {apiAway(10 * time.Minute), 0, 0, 606 * time.Second},
		"the API answers nobody for a minute":          {apiMute, 0, 0, 66 * time.Second},
		"one is cut off for less than it may act":      {cutFor(2 * time.Second), 0, 0, short},
		"one is cut off for less than the timeout":     {cutFor(9 * time.Second), 0, 0, 8 * time.Second},
		"one gets no answers about bases":              {baseLink(silent, heard), 0, 0, short},
		"what one writes about bases is seconds late":  {baseLink(tardy, onTime), 0, 0, short},
		"one clock jumps ahead":                        {clocks(0, 5*time.Minute, 0), 0, 0, short},
		"one clock jumps back":                         {clocks(0, -5*time.Minute, 0), 0, 0, short},
		"all clocks jump":                              {clocks(5*time.Minute, -5*time.Minute, -2*time.Minute), 0, 0, short},
		"one is frozen for less than it may act":       {frozenFor(2 * time.Second), 0, 0, 3 * time.Second},
		"one is frozen for half a Lease":               {frozenFor(5 * time.Second), 0, 0, 6 * time.Second},
		"one is frozen for three Leases":               {frozenFor(30 * time.Second), 1, some, 12 * time.Second},
		"one is frozen, and somebody says so":          {frozenAndSuspected, 1, some, 4 * time.Second},
		"one is suspected by mistake":                  {(*world).suspectAll, 0, 0, short},
		"one sees late":                                {lagging, 0, 0, short},
		"one does not see another renew":               {blindForMember, 0, 0, short},
		"the Lease of a base is deleted":               {(*world).deleteOne, 0, 0, short},
		"a stranger's name is written over an owner's": {(*world).scrawl, 0, 1, short},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := range uint64(max(1, 2/fewer)) {
				synctest.Test(t, func(t *testing.T) {
					w := settled(t, seed+1)
					defer w.end()
					began := time.Now()
					c.happen(w, w.processes[1])
					w.wait(c.silence + time.Minute)
					w.revive()
					if expired, moves := w.counts(); expired != c.expired || c.moves != some && moves != c.moves {
						t.Errorf("%d members were expired, want %d; %d bases changed hands, want %d", expired, c.expired, moves, c.moves)
					}
					if silence, base := w.longest(began); silence > c.silence {
						t.Errorf("%s was served by nobody for %s, want at most %s", base, silence, c.silence)
					}
					if err := w.checkSafe(); err != nil {
						t.Error(err)
					}
				})
			}
		})
	}
}

// apiAway has the API be away for all, and come back for one after the other.
func apiAway(long time.Duration) func(*world, *process) {
	return func(w *world, _ *process) {
		for i, p := range w.processes {
			during(p.links(), long+time.Duration(i)*2*time.Second, cut, mended)
			w.suspectAll(p)
		}
	}
}

func apiMute(w *world, _ *process) {
	for i, p := range w.processes {
		during(p.links(), time.Minute+time.Duration(i)*2*time.Second, silent, heard)
	}
}

func cutFor(long time.Duration) func(*world, *process) {
	return func(_ *world, p *process) { during(p.links(), long, cut, mended) }
}

func frozenFor(long time.Duration) func(*world, *process) {
	return func(_ *world, p *process) { p.stopped.stop(long) }
}

func frozenAndSuspected(w *world, p *process) {
	p.stopped.stop(5 * time.Second)
	w.suspectAll(p)
}

// baseLink has one's link for bases be otherwise for a minute.
func baseLink(begin, end func(*link)) func(*world, *process) {
	return func(_ *world, p *process) { during([]*link{p.work}, time.Minute, begin, end) }
}

func clocks(skews ...time.Duration) func(*world, *process) {
	return func(w *world, _ *process) {
		for i, skew := range skews {
			w.processes[i].skew.Store(int64(skew))
		}
	}
}

func lagging(_ *world, p *process) {
	during(p.links(), time.Minute, func(l *link) { l.lag = 8 * time.Second }, func(l *link) { l.lag = usualLag })
}

// deleteOne deletes the Lease of a base, which its owner is to make anew at once.
func (w *world) deleteOne(p *process) {
	key := leaseKey(w.held(p)[0])
	w.store.remove(key)
	w.wait(short)
	if holder, _ := w.store.holder(key); holder != p.incarnation {
		w.blame("%s is held by %q, not by %s", key, holder, p.incarnation)
	}
}

func (w *world) scrawl(p *process) { w.usurp(leaseKey(w.held(p)[0]), false) }

// blindForMember has a member's renewals not seen by another for a minute.
func blindForMember(w *world, p *process) {
	p.member.set(func(l *link) { l.hidden = w.site.memberKey(w.processes[2].pod) })
	time.AfterFunc(time.Minute, p.member.show)
}

// Every base of a replica that died is acted for again within the time that users
// were promised.
func TestTheBasesOfWhoIsKilled(t *testing.T) {
	for name, c := range map[string]struct {
		suspected bool
		bar       time.Duration
	}{"nobody says so": {false, 12 * time.Second}, "somebody says so": {true, 4 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			var mu sync.Mutex
			var took []time.Duration
			eachSeed(t, 1, 40, func(t *testing.T, seed uint64) {
				silence, err := killOne(t, seed, c.suspected, c.bar)
				if err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				if silence > c.bar {
					t.Errorf("seed %d: a base was served by nobody for %s", seed, silence)
				}
				mu.Lock()
				defer mu.Unlock()
				took = append(took, silence)
			})
			slices.Sort(took)
			t.Logf("%d kills, the last base acted for again after %s in the median, %s at most", len(took), took[len(took)/2], took[len(took)-1])
		})
	}
}

// killOne kills one replica and gives how long the last of its bases was served by
// nobody.
func killOne(t *testing.T, seed uint64, suspected bool, bar time.Duration) (time.Duration, error) {
	t.Helper()
	w := settled(t, seed)
	defer w.end()
	w.wait(time.Duration(w.rng.Int64N(int64(2 * time.Second))))
	p := w.processes[w.rng.IntN(simReplicas)]
	bases, began := w.held(p), time.Now()
	p.kill()
	if suspected {
		w.suspectAll(p)
	}
	w.wait(bar + time.Second)
	if expired, moves := w.counts(); expired != 1 || moves != len(bases) {
		return 0, fmt.Errorf("%d members were expired, %d bases of %d moved", expired, moves, len(bases))
	}
	silence, _ := w.longest(began)
	return silence, w.checkSafe()
}
