package election

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"

	"module-controller/shard"
	"module-controller/tunnel"
)

// What many bases or a slow API do to one replica that has a companion, in synthetic
// time. A write takes 15 ms, and what is in flight on a base ends after reaction.

// reaction is how long a base that is to be handed over takes to be drained.
const reaction = 20 * time.Millisecond

// giver is a replica with many bases and a companion, which takes what it is given.
type giver struct {
	*Replica
	store        *store
	member, work *link
	stop         context.CancelFunc
	ended        chan error

	noting sync.Mutex
	// noting guards what follows
	since map[string]time.Time // when a base became mute
	mute  []time.Duration      // how long those that were transferred were
	last  time.Time            // when one was transferred last
}

// runGiver runs one until it owns its bases. Log may be nil.
func runGiver(t *testing.T, bases int, cfg Config, log *zap.Logger) *giver {
	t.Helper()
	quiet()
	if log == nil {
		log = simLog(cfg.Incarnation)
	}
	g := &giver{store: newStore(), ended: make(chan error, 1), since: map[string]time.Time{}}
	g.member, g.work = newLink(g.store, new(stopped), 1, 1), newLink(g.store, new(stopped), 2, 2)
	g.work.set(func(l *link) { l.latency = 15 * time.Millisecond })
	g.store.judges = append(g.store.judges, g.judge)
	var err error
	if g.Replica, err = New(cfg, NoMeter, log); err != nil {
		t.Fatal(err)
	}
	g.Linked(true)
	var ctx context.Context
	ctx, g.stop = context.WithCancel(t.Context())
	go func() { g.ended <- g.Run(ctx, Deps{Members: g.member, Bases: g.work, Nodes: g, Hooks: g}) }()
	for i := range bases {
		g.Claim(tunnel.BaseID{Env: "dev", Identity: fmt.Sprintf("base-%05d", i)})
	}
	for g.Census().Owned < bases {
		pause(t.Context(), 100*time.Millisecond)
	}
	return g
}

// many is the configuration of a replica with many bases.
func many() Config {
	cfg := whole()
	cfg.Name = func(b tunnel.BaseID) (string, error) { return b.Identity, nil }
	cfg.Base = func(name string) (tunnel.BaseID, bool) { return tunnel.BaseID{Env: "dev", Identity: name}, true }
	return cfg
}

// Changed notes when a base becomes mute, and has it drained soon.
func (g *giver) Changed(id tunnel.BaseID) {
	claim, held := g.Claim(id)
	if !held || claim.Phase < shard.Draining {
		return
	}
	g.noting.Lock()
	defer g.noting.Unlock()
	g.since[id.Identity] = time.Now()
	time.AfterFunc(reaction, func() { g.Drained(id) })
}

func (g *giver) judge(was, is *coordinationv1.Lease) {
	if holderOf(was) != g.cfg.Incarnation || is == nil || is.Namespace == g.cfg.Namespace || holderOf(is) == g.cfg.Incarnation {
		return
	}
	g.noting.Lock()
	defer g.noting.Unlock()
	g.last = time.Now()
	g.mute = append(g.mute, g.last.Sub(g.since[is.Name]))
	if holderOf(is) != "" {
		key := is.Namespace + "/" + is.Name
		time.AfterFunc(time.Second, func() { g.store.edit(key, takenUp) })
	}
}

// takenUp is a Lease as its new owner renews it.
func takenUp(l *coordinationv1.Lease) bool {
	l.Labels[labelState] = stateOwned
	return true
}

// gave gives how many bases were transferred, when the last was, and for how long all but
// one in a hundred of them were mute at most.
func (g *giver) gave() (n int, last time.Time, p99 time.Duration) {
	g.noting.Lock()
	defer g.noting.Unlock()
	if len(g.mute) == 0 {
		return 0, time.Time{}, 0
	}
	sorted := slices.Sorted(slices.Values(g.mute))
	return len(sorted), g.last, sorted[len(sorted)*99/100]
}

func (g *giver) Evict(context.Context, string) error                       { return nil }
func (g *giver) HasNode(tunnel.BaseID) bool                                { return false }
func (g *giver) LeaseMeta(tunnel.BaseID) (labels, notes map[string]string) { return nil, nil }
func (g *giver) end()                                                      { g.stop(); <-g.ended }
func (g *giver) companion(ctx context.Context)                             { go accompany(ctx, g.store) }

// However many bases a replica hands over, each is mute for a moment only, and all go as
// fast as they are written.
func TestABaseIsMuteOnlyWhileItIsItsTurn(t *testing.T) {
	const bases = 2000 / fewer
	for name, c := range map[string]struct {
		begin func(g *giver)
		wait  time.Duration // until the first may go
	}{
		"the replica ends":          {func(g *giver) { g.stop() }, 1500 * time.Millisecond},
		"the replica has no broker": {func(g *giver) { g.Linked(false) }, 3 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := runGiver(t, bases, many(), nil)
				g.companion(t.Context())
				pause(t.Context(), 5*time.Second)
				before, _, _ := g.gave()
				began := time.Now()
				c.begin(g)
				pause(t.Context(), 10*time.Second)
				n, last, p99 := g.gave()
				if n-before < bases-before || last.Sub(began) > c.wait+2500*time.Millisecond {
					t.Errorf("%d bases of %d were handed over, the last after %s", n, bases, last.Sub(began))
				}
				if p99 > time.Second {
					t.Errorf("bases were mute for %s", p99)
				}
				t.Logf("%d bases after %s, mute for %s", n, last.Sub(began), p99)
				g.end()
			})
		})
	}
}

// A watch that shows nothing is noticed in seconds: what its replica is given meanwhile is
// found in a list, another watch is begun, and while that does not help nothing more is
// given to it.
func TestAWatchThatStandsStillIsNoticed(t *testing.T) {
	const bar = 9 * time.Second
	for name, begin := range map[string]func(l *link){"the one that there is": standStill, "each": func(l *link) { l.still = true }} {
		t.Run(name, func(t *testing.T) {
			eachSeed(t, 1, 4, func(t *testing.T, seed uint64) {
				w := settled(t, seed)
				defer w.end()
				giver, other, stalled := w.processes[0], w.processes[1], w.processes[2]
				stalled.work.set(begin)
				began := time.Now()
				giver.replica.Linked(false) // the others are given its bases
				w.wait(20 * time.Second)
				giver.replica.Linked(true)
				other.replica.Linked(false) // and again
				w.wait(time.Minute)
				if silence, base := w.longest(began); silence > bar {
					t.Errorf("seed %d: %s was served by nobody for %s", seed, base, silence)
				}
				if err := w.checkSafe(); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
			})
		})
	}
}

// While the API server takes seconds for each answer, replicas serve steadily. Each tells
// for how long a renewal lets it act then, and takes it back afterwards.
func TestASlowAPIServerIsSteady(t *testing.T) {
	eachSeed(t, 1, 4, func(t *testing.T, seed uint64) {
		w := settled(t, seed)
		defer w.end()
		for _, p := range w.processes {
			during(p.links(), 3*time.Minute, slow, onTime)
		}
		w.wait(time.Minute) // until they know
		began, valid, looks := time.Now(), 0, 0
		for time.Since(began) < 110*time.Second {
			w.wait(100 * time.Millisecond)
			for _, p := range w.processes {
				looks++
				if p.replica.Valid() {
					valid++
				}
			}
		}
		if share := float64(valid) / float64(looks); share < 0.98 {
			t.Errorf("seed %d: members might act %.0f%% of the time", seed, 100*share)
		}
		if silence, base := w.longest(began); silence > 5*time.Second {
			t.Errorf("seed %d: %s was served by nobody for %s", seed, base, silence)
		}
		w.wait(40 * time.Second)
		for _, l := range w.store.snapshot("mc") {
			if window := l.Annotations[noteRenewDeadline]; window != "3.5s" {
				t.Errorf("seed %d: %s may act for %s after a renewal", seed, l.Name, window)
			}
		}
		if expired, moves := w.counts(); expired+moves > 0 {
			t.Errorf("seed %d: %d members were expired, %d bases moved", seed, expired, moves)
		}
		if err := errors.Join(w.checkSafe(), w.checkServed()); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
}

// Nobody acts for longer than the Lease tells those who would expire him.
func TestAMemberTellsForHowLongItActs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		for _, change := range []func(*link){slow, onTime} {
			r.member.set(change)
			var longest time.Duration
			for range 600 {
				pause(t.Context(), 100*time.Millisecond)
				lease := r.store.snapshot("ns")[0]
				window := parseMember(lease).RenewDeadline
				longest = max(longest, window)
				if told := lease.Spec.RenewTime.Add(window); r.Until().After(told) {
					t.Fatalf("it acts for %s longer than it tells", r.Until().Sub(told))
				}
			}
			if longest <= r.cfg.RenewDeadline {
				t.Errorf("it acts for %s at most", longest)
			}
		}
		r.end(t)
	})
}
