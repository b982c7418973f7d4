package election

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"module-controller/shard"
)

// Whoever asks for a claim while the API server is away is told that there is none.
// When it is back, he is told to ask again.
func TestAClaimThatIsGoodAgainIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		r.member.set(func(l *link) { l.cut = true })
		pause(t.Context(), 6*time.Second)
		if r.holds() {
			t.Error("it may act without the API server")
		}
		before := r.told.Load()
		r.member.set(func(l *link) { l.cut = false })
		pause(t.Context(), 6*time.Second)
		if !r.holds() {
			t.Error("it may not act although the API server is back")
		}
		if r.told.Load() == before {
			t.Error("nobody was told that the claim is good again")
		}
		r.end(t)
	})
}

// An API server that was set back to an older state knows less than was seen of it:
// the session ends, and a new one begins with what is there.
func TestASessionEndsWhenResourceVersionsFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		r.store.restore(50)
		select {
		case err := <-r.ended:
			if !errors.Is(err, ErrReplaced) {
				t.Errorf("it ended with %v", err)
			}
		case <-time.After(time.Minute):
			t.Error("it goes on")
		}
		if r.Valid() {
			t.Error("it may act")
		}
		r.stop()
	})
}

// A request that is never answered holds up its base for a while, and no longer.
func TestARequestThatIsNeverAnsweredIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		r.work.set(func(l *link) { l.mute = true })
		pause(t.Context(), r.cfg.Renew) // a renewal is under way
		r.work.set(func(l *link) { l.mute = false })
		pause(t.Context(), baseTimeout+2*time.Second)
		age := func() time.Duration {
			return time.Since(r.store.snapshot(r.cfg.BaseNamespace)[0].Spec.RenewTime.Time)
		}
		if age := age(); age > r.cfg.Renew/2 {
			t.Errorf("the base's Lease was renewed %s ago", age)
		}
		pause(t.Context(), r.cfg.Renew) // the request may have arrived, though it was not answered
		if age := age(); age > r.cfg.Renew {
			t.Errorf("later the base's Lease was renewed %s ago", age)
		}
		r.end(t)
	})
}

// Who leaves has said that it does nothing more.
func TestWhoLeavesMayNotAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		r.end(t)
		if r.Valid() {
			t.Error("it may act")
		}
	})
}

// A write that is under way when Fresh is asked may have been sent before what it is
// to prove: the next one is waited for.
func TestFreshWaitsForAWriteThatIsSentAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		r.member.set(func(l *link) { l.latency = 700 * time.Millisecond })
		for range 50 {
			pause(t.Context(), 170*time.Millisecond)
			since := time.Now()
			if err := r.Fresh(t.Context(), since); err != nil {
				t.Fatal(err)
			}
			if sent := r.store.snapshot("ns")[0].Spec.RenewTime; !sent.After(since) {
				t.Errorf("it returned for a write that was sent %s before", since.Sub(sent.Time))
			}
		}
		r.member.set(cut)
		pause(t.Context(), 5*time.Second) // nothing is under way any more
		limited, cancel := context.WithTimeout(t.Context(), time.Minute)
		defer cancel()
		if err := r.Fresh(limited, time.Now()); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("without the API server it returned %v", err)
		}
		r.member.set(func(l *link) { l.cut, l.latency = false, usualLatency })
		if err := r.Fresh(t.Context(), time.Now()); err != nil {
			t.Error(err)
		}
		r.end(t)
	})
}

// At the end the bases go whose heartbeat is the oldest first: whoever takes them has
// the least time left for them.
func TestADrainBeginsWithWhatWasRenewedLongestAgo(t *testing.T) {
	for range 3 { // by chance it may go well
		synctest.Test(t, func(t *testing.T) {
			want := []string{"c", "a", "d", "b"} // as they are claimed, 5 s apart, from a stranger that is silent
			cfg, s := whole(), newStore()
			cfg.Workers = 1
			for i, name := range want {
				strange := cfg
				strange.Duration = time.Duration(i+1) * 5 * time.Second
				lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: cfg.BaseNamespace}}
				strange.Incarnation = stranger
				s.put(stepped(lease, shard.Step{Kind: shard.ClaimBase}, map[string]string{labelEnv: "dev"}, nil, strange, time.Now()), watch.Added)
			}
			r := runAs(t, s, cfg) // until b is held
			var released []string
			s.mu.Lock()
			s.judges = append(s.judges, func(_, is *coordinationv1.Lease) {
				if is.Namespace == cfg.BaseNamespace && holderOf(is) == "" {
					released = append(released, is.Name)
				}
			})
			s.mu.Unlock()
			r.end(t)
			if d := cmp.Diff(want, released); d != "" {
				t.Errorf("handed over (-want +got):\n%s", d)
			}
		})
	}
}

// The Lease of a base that is no more is deleted, if it is ours, also where it was
// changed unseen by us.
func TestTheLeaseOfARetiredBaseIsDeleted(t *testing.T) {
	label := func(l *coordinationv1.Lease) bool { put(&l.Labels, "a", "person"); return true }
	take := func(l *coordinationv1.Lease) bool { l.Spec = heldBy("other", time.Now()).Spec; return true }
	for name, c := range map[string]struct {
		before func(l *coordinationv1.Lease) bool
		left   int
	}{"as we wrote it": {nil, 0}, "labelled, unseen": {label, 0}, "another's, unseen": {take, 1}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runAlone(t)
				r.work.set(func(l *link) { l.lag = time.Hour })
				if c.before != nil {
					r.store.edit("kube-node-lease/b", c.before)
				}
				r.Retire(base)
				pause(t.Context(), time.Second)
				if left := r.store.snapshot("kube-node-lease"); len(left) != c.left || r.Census().Owned != 0 {
					t.Errorf("%d Leases are left, want %d: %+v", len(left), c.left, r.Census())
				}
				r.work.set(func(l *link) { l.lag = usualLag })
				r.end(t)
			})
		})
	}
}

// A base that was retired and is heard again is owned again.
func TestARetiredBaseThatIsBackIsOwned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		r.Retire(base)
		pause(t.Context(), time.Second)
		if r.holds() {
			t.Error("it is owned still")
		}
		pause(t.Context(), time.Second)
		if !r.holds() || len(r.store.snapshot("kube-node-lease")) != 1 {
			t.Error("it is not owned")
		}
		r.end(t)
	})
}

// What a watch did not show is seen when it must be listed anew.
func TestWhatAWatchMissedIsSeenInTheNextList(t *testing.T) {
	const key = "kube-node-lease/b"
	for name, c := range map[string]struct {
		change func(r *alone)
		seen   func(r *alone) bool
	}{
		"another's name": {
			func(r *alone) {
				r.store.edit(key, func(l *coordinationv1.Lease) bool { l.Spec = heldBy("other", time.Now()).Spec; return true })
			},
			func(r *alone) bool { return !r.holds() },
		},
		"a deletion": {
			func(r *alone) { r.store.remove(key) },
			func(r *alone) bool { holder, _ := r.store.holder(key); return holder == r.cfg.Incarnation },
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runAlone(t)
				r.work.set(func(l *link) { l.hidden = key })
				pause(t.Context(), time.Second)
				c.change(r)
				pause(t.Context(), 3*time.Second)
				if c.seen(r) {
					t.Error("it was seen at once")
				}
				r.work.show()
				pause(t.Context(), 3*time.Second)
				if !c.seen(r) {
					t.Error("it was not seen")
				}
				r.end(t)
			})
		})
	}
}
