package election

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"module-controller/shard"
	"module-controller/tunnel"
)

// What each replica is shown of the Leases of bases, and what it knows all the same.

// A renewal is shown to the owner alone: of the fleet's each replica gets its share, and
// besides a list once a minute.
func TestEachReplicaIsShownItsShareOfTheRenewals(t *testing.T) {
	eachSeed(t, 1, 2, func(t *testing.T, seed uint64) {
		const minutes, bases = 3, 30
		w := newSite(newStore(), site{"mc", "mc"}, seed)
		w.size(teamOf, bases)
		w.begin()
		defer w.end()
		w.wait(time.Minute + 30*time.Second) // until no base is newly claimed
		before, events, items := w.store.writes("kube-node-lease"), map[*process]int64{}, map[*process]int64{}
		for _, p := range w.processes {
			events[p], items[p] = p.work.shown.Load(), p.work.items.Load()
		}
		w.wait(minutes * time.Minute)
		share := float64(w.store.writes("kube-node-lease")-before) / teamOf
		if share < minutes*60/29*bases/teamOf/2 {
			t.Fatalf("seed %d: each wrote %.0f times", seed, share)
		}
		for _, p := range w.processes {
			if n := p.work.shown.Load() - events[p]; float64(n) > 1.2*share {
				t.Errorf("seed %d: %s was shown %d events; each wrote %.0f times", seed, p.incarnation, n, share)
			}
			if n := p.work.items.Load() - items[p]; n > (minutes+1)*bases*2 {
				t.Errorf("seed %d: %s was given %d Leases in lists", seed, p.incarnation, n)
			}
		}
	})
}

// knows says who a replica takes for a base's owner.
func (p *process) knows(base string) string {
	m, _, _ := p.replica.ForwardTo(tunnel.BaseID{Env: envOf(base), Identity: base})
	return m.Name
}

// saw is the member that holds a base by its Lease as the process saw it last, empty where it
// saw none: without one it takes whom the base is assigned to for its owner.
func (p *process) saw(base string) string {
	p.replica.mu.Lock()
	defer p.replica.mu.Unlock()
	lease := p.replica.bases[base]
	if lease == nil {
		return ""
	}
	pod, _ := shard.PodOf(holderOf(lease))
	return pod
}

// Who owns a base all know at once: one that came anew, one that was handed over, and those
// of who was killed.
func TestAllKnowWhoOwnsABase(t *testing.T) {
	all := func(t *testing.T, w *world, what string) {
		t.Helper()
		for base, owner := range w.owners() {
			for _, p := range w.processes {
				if p.crashed.Err() == nil && (p.knows(base) != owner || p.saw(base) != owner) {
					t.Errorf("%s: %s takes %q for the owner of %s and saw %q as its holder, which is %q", what, p.pod, p.knows(base), base, p.saw(base), owner)
				}
			}
		}
	}
	eachSeed(t, 1, 4, func(t *testing.T, seed uint64) {
		w := settled(t, seed)
		defer w.end()
		w.wait(30 * time.Second) // all were renewed
		for b := simBases; b < 2*simBases; b++ {
			w.names = append(w.names, baseName(b))
			go w.processes[b%simReplicas].serve(baseName(b)) // nobody else hears of them
			go w.processes[(b+1)%simReplicas].serve(baseName(b))
			go w.processes[(b+2)%simReplicas].serve(baseName(b))
		}
		w.wait(15 * time.Second)
		all(t, w, "they are new")
		w.processes[0].replica.Linked(false)
		w.wait(15 * time.Second)
		if held := w.held(w.processes[0]); len(held) > 0 {
			t.Errorf("it has no broker and holds %v", held)
		}
		all(t, w, "they were handed over")
		w.processes[0].replica.Linked(true)
		w.wait(30 * time.Second)
		w.processes[1].kill()
		w.suspectAll(w.processes[1])
		w.wait(8 * time.Second)
		all(t, w, "their owner was killed")
		w.start(1, "another")
		w.wait(2 * time.Second) // it knows them before it is given any
		all(t, w, "one is new")
	})
}

// A base that a member owns comes into the assignment of all, though only one was asked for it.
func TestABaseThatOneMemberHeardOfIsKnownToAll(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		w := settled(t, 1)
		defer w.end()
		owner := w.processes[0]
		var name string
		for b := simBases; ; b++ { // the first that is its own
			if name = baseName(b); owner.knows(name) == owner.pod {
				break
			}
		}
		go owner.serve(name)
		w.wait(2 * time.Second)
		for _, p := range w.processes {
			p.replica.mu.Lock()
			_, known := p.replica.bases[name]
			p.replica.mu.Unlock()
			if !known {
				t.Errorf("%s does not know of %s", p.pod, name)
			}
		}
	})
}

// The bases of who was killed are listed once, so that no claim of them meets a conflict: they
// were renewed since they were seen.
func TestTheBasesOfWhoIsKilledAreClaimedAsTheyAre(t *testing.T) {
	eachSeed(t, 1, 4, func(t *testing.T, seed uint64) {
		w := team(t, seed)
		defer w.end()
		w.wait(25 * time.Second)
		w.store.mu.Lock()
		w.store.conflicts = 0
		w.store.mu.Unlock()
		dead := w.processes[0]
		had := len(w.held(dead))
		dead.kill()
		w.suspectAll(dead)
		w.wait(6 * time.Second)
		if left := w.held(dead); len(left) > 0 || had == 0 {
			t.Errorf("seed %d: of %d it holds %v", seed, had, left)
		}
		w.store.mu.Lock()
		defer w.store.mu.Unlock()
		if w.store.conflicts > teamOf { // of those who expired it
			t.Errorf("seed %d: %d writes met a conflict", seed, w.store.conflicts)
		}
	})
}

// A person changes the label by which the owner watches, and the owner is killed before it puts
// that right: no list of its Leases shows the base, which is read and claimed with the others.
func TestTheRelabelledBaseOfWhoIsKilledIsClaimed(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		w := settled(t, 1)
		defer w.end()
		w.wait(30 * time.Second)
		dead := w.processes[0]
		key := leaseKey(w.held(dead)[0])
		w.store.edit(key, func(l *coordinationv1.Lease) bool { l.Labels[labelOwner] = "else"; return true })
		dead.kill()
		w.suspectAll(dead)
		w.wait(5 * time.Second)
		if left := w.held(dead); len(left) > 0 {
			t.Errorf("it holds %v", left)
		}
		if err := w.checkSafe(); err != nil {
			t.Error(err)
		}
	})
}

// A person writes another member into a Lease, and leaves the labels. That member is not shown
// it, finds it in the next list of all, and serves the base.
func TestWhatIsEditedByHandIsFoundInAMinute(t *testing.T) {
	quiet()
	synctest.Test(t, func(t *testing.T) {
		w := settled(t, 2)
		defer w.end()
		w.wait(time.Minute)
		from, to := w.processes[0], w.processes[1]
		base := w.held(from)[0]
		w.store.edit(leaseKey(base), func(l *coordinationv1.Lease) bool {
			*l = *renewed(l, strangeDuration, time.Now())
			l.Spec.HolderIdentity = &to.incarnation
			return true
		})
		for edited := time.Now(); !to.replica.Held(tunnel.BaseID{Env: "dev", Identity: base}); w.wait(100 * time.Millisecond) {
			if time.Since(edited) > sweepEvery+to.replica.cfg.FailureTimeout+2*time.Second {
				t.Fatalf("%s does not serve %s", to.pod, base)
			}
		}
	})
}

// A version before this one writes its claims as owned, which nobody else is shown. They are
// found in the next list of all, or at once when it is gone.
func TestTheClaimsOfTheVersionBeforeAreFound(t *testing.T) {
	for name, dies := range map[string]bool{"in the next list of all": false, "when it is gone": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runAlone(t)
				defer r.end(t)
				living, die := context.WithCancel(t.Context())
				defer die()
				earlier := whole()
				earlier.Incarnation = "mc-1_00000001" // who accompanies
				go accompany(living, r.store)
				pause(t.Context(), sweepEvery)
				r.store.mu.Lock()
				r.store.put(claimedBefore(earlier, "theirs"), watch.Added)
				r.store.mu.Unlock()
				if !dies {
					pause(t.Context(), sweepEvery+time.Second)
					r.mu.Lock()
					defer r.mu.Unlock()
					if !holds(earlier.Incarnation, r.bases["theirs"]) {
						t.Error("it is not known")
					}
					return
				}
				die()
				pause(t.Context(), r.cfg.FailureTimeout+3*time.Second)
				if holder, _ := r.store.holder("kube-node-lease/theirs"); holder != r.cfg.Incarnation {
					t.Errorf("it is held by %q", holder)
				}
			})
		})
	}
}

// Another controller's Lease has no labels, so no list has it: that says nothing of it. It is
// taken when it was silent for its duration and ten seconds, however often others are listed.
func TestALeaseWithoutLabelsIsTakenWhenItIsSilent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		defer r.end(t)
		const promised = 90 // seconds, more than lasts from one list to the next
		lease, seconds := heldBy(stranger, time.Now()), int32(promised)
		lease.Name, lease.Namespace, lease.Spec.LeaseDurationSeconds = "theirs", r.cfg.BaseNamespace, &seconds
		r.store.mu.Lock()
		r.store.put(lease, watch.Added)
		r.store.mu.Unlock()
		began := time.Now()
		for holder := stranger; holder == stranger; holder, _ = r.store.holder("kube-node-lease/theirs") {
			r.Claim(tunnel.BaseID{Env: "dev", Identity: "theirs"})
			if pause(t.Context(), 100*time.Millisecond); time.Since(began) > (promised+13)*time.Second {
				t.Fatalf("it is not taken after %s", time.Since(began))
			}
		}
		if silent := time.Since(began); silent < (promised+10)*time.Second {
			t.Errorf("it was taken after %s", silent)
		}
	})
}

// claimedBefore is a base's Lease as the version before wrote one that it claimed.
func claimedBefore(cfg Config, name string) *coordinationv1.Lease {
	empty := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: cfg.BaseNamespace}}
	return stepped(empty, shard.Step{Kind: shard.RenewBase, Epoch: 1}, map[string]string{labelEnv: "dev"}, nil, cfg, time.Now())
}
