package election

import (
	"context"
	"maps"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
)

// alone is a replica without others, in synthetic time.
type alone struct {
	*Replica
	noMeter
	store        *store
	member, work *link
	told         atomic.Int32 // how often it was told that a claim changed
	stop         context.CancelFunc
	ended        chan error

	counting sync.Mutex
	// counting guards what follows
	counted map[string]int // the changes of ownerships, by their words
}

// runAlone runs one until it holds a base.
func runAlone(t *testing.T) *alone {
	t.Helper()
	return runAs(t, newStore(), whole())
}

func runAs(t *testing.T, s *store, cfg Config) *alone {
	t.Helper()
	a := startAs(t, s, cfg, simLog(cfg.Incarnation))
	for !a.holds() {
		pause(t.Context(), 100*time.Millisecond)
	}
	return a
}

// startAs runs one that need not join.
func startAs(t *testing.T, s *store, cfg Config, log *zap.Logger) *alone {
	t.Helper()
	quiet()
	a := &alone{store: s, ended: make(chan error, 1), counted: map[string]int{}}
	a.member, a.work = newLink(a.store, new(stopped), 1, 1), newLink(a.store, new(stopped), 2, 2)
	var err error
	a.Replica, err = New(cfg, a, log)
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, a.stop = context.WithCancel(t.Context())
	go func() { a.ended <- a.Run(ctx, Deps{Members: a.member, Bases: a.work, Nodes: a, Hooks: a}) }()
	return a
}

// Changed has nothing in flight on a base that is to be handed over.
func (a *alone) Changed(id tunnel.BaseID) {
	a.told.Add(1)
	a.Drained(id)
}

func (a *alone) Evict(context.Context, string) error { return nil }
func (a *alone) HasNode(tunnel.BaseID) bool          { return false }

func (a *alone) LeaseMeta(tunnel.BaseID) (labels, notes map[string]string) {
	return map[string]string{"vnode.koupleless.io/name": "shop"}, map[string]string{"example.com/note": "for the next owner"}
}

func (a *alone) Moved(how string) {
	a.counting.Lock()
	defer a.counting.Unlock()
	a.counted[how]++
}

func (a *alone) moves() map[string]int {
	a.counting.Lock()
	defer a.counting.Unlock()
	return maps.Clone(a.counted)
}

func (a *alone) holds() bool {
	_, ok := a.Claim(base)
	return ok
}

// end stops it, and wants it to end by itself.
func (a *alone) end(t *testing.T) {
	t.Helper()
	a.stop()
	if err := <-a.ended; err != nil {
		t.Error(err)
	}
}
