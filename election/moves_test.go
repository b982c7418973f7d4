package election

import (
	"context"
	"maps"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"module-controller/shard"
)

// When bases come, others should move, for nobody serves more than his share. They do so
// in seconds, and not only when they are renewed next.
func TestBasesMoveSoonAfterOthersCame(t *testing.T) {
	var moved atomic.Int32
	eachSeed(t, 1, 10, func(t *testing.T, seed uint64) {
		w := settled(t, seed)
		defer w.end()
		was := w.owners()
		for b := simBases; b < simBases+5; b++ {
			for _, p := range w.processes {
				go p.serve(baseName(b))
			}
		}
		w.wait(5 * time.Second)
		is := w.owners()
		should := shard.Assign(slices.Collect(maps.Keys(is)), []string{"mc-0", "mc-1", "mc-2"})
		for base := range was {
			if is[base] != should[base] {
				t.Errorf("seed %d: %s is %s's, and should be %s's", seed, base, is[base], should[base])
			}
			if is[base] != was[base] {
				moved.Add(1)
			}
		}
		if err := w.checkSafe(); err != nil {
			t.Errorf("seed %d: %v", seed, err)
		}
	})
	if moved.Load() == 0 {
		t.Error("none had to move")
	}
}

// owners gives the pods that own the bases, by their Leases.
func (w *world) owners() map[string]string {
	owners := map[string]string{}
	for _, l := range w.store.snapshot("kube-node-lease") {
		owners[l.Name], _ = shard.PodOf(holderOf(l))
	}
	return owners
}

// What a replica transfers is counted once, as what it is, whenever the answer comes,
// if it does, and whenever the watch shows it.
func TestATransferIsCountedOnce(t *testing.T) {
	transfer := func(t *testing.T, r *alone) {
		t.Helper()
		go accompany(t.Context(), r.store)
		pause(t.Context(), 40*time.Second)
	}
	release := func(*testing.T, *alone) {}
	slow := func(l *link) { l.latency = 2 * time.Second } // an answer still comes in time
	lost := func(l *link) { l.lose = 1 }
	for name, c := range map[string]struct {
		link func(l *link)
		do   func(t *testing.T, r *alone)
		want map[string]int
	}{
		"transferred":                            {onTime, transfer, map[string]int{"claimed": 1, "transferred": 1}},
		"transferred, seen before the answer":    {slow, transfer, map[string]int{"claimed": 1, "transferred": 1}},
		"transferred, never answered":            {lost, transfer, map[string]int{"claimed": 1, "transferred": 1}},
		"transferred, never answered, seen late": {func(l *link) { l.lose, l.lag = 1, 30*time.Second }, transfer, map[string]int{"claimed": 1, "transferred": 1}},
		"released":                               {onTime, release, map[string]int{"claimed": 1, "released": 1}},
		"released, seen before the answer":       {slow, release, map[string]int{"claimed": 1, "released": 1}},
		"released, never answered":               {lost, release, map[string]int{"claimed": 1, "released": 1}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := runAlone(t)
				r.work.set(c.link)
				c.do(t, r)
				r.end(t)
				if d := cmp.Diff(c.want, r.moves()); d != "" {
					t.Errorf("counted (-want +got):\n%s", d)
				}
			})
		})
	}
}

// accompany is another member, which lives until ctx ends and does nothing.
func accompany(ctx context.Context, s *store) {
	accompanyAs(ctx, s, whole())
}

// accompanyAs is one with settings of its own.
func accompanyAs(ctx context.Context, s *store, cfg Config) {
	cfg.Incarnation = "mc-1_00000001"
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: "mc-1", Namespace: cfg.Namespace}}
	for kind := watch.Added; ; kind = watch.Modified {
		s.mu.Lock()
		lease = s.put(joined(lease, cfg, announcement{linked: true}, time.Now()), kind)
		s.mu.Unlock()
		if !pause(ctx, cfg.MemberRenew) {
			return
		}
	}
}
