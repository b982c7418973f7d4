package election

import (
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	"k8s.io/klog/v2"

	"module-controller/tunnel"
)

// alone is a replica without others, in synthetic time.
type alone struct {
	*Replica
	store        *store
	member, work *link
	told         atomic.Int32 // how often it was told that a claim changed
	stop         context.CancelFunc
	ended        chan error
}

// runAlone runs one until it holds a base.
func runAlone(t *testing.T) *alone {
	t.Helper()
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	utilruntime.ErrorHandlers = nil
	a := &alone{store: newStore(), ended: make(chan error, 1)}
	connect := func(seed uint64) *link {
		return &link{store: a.store, rng: rand.New(rand.NewPCG(seed, seed)), latency: 5 * time.Millisecond, lag: 10 * time.Millisecond}
	}
	a.member, a.work = connect(1), connect(2)
	cfg := whole()
	var err error
	a.Replica, err = New(a.member, a.work, cfg, Hooks{Changed: func(tunnel.BaseID) { a.told.Add(1) }}, simLog(cfg.Incarnation))
	if err != nil {
		t.Fatal(err)
	}
	var ctx context.Context
	ctx, a.stop = context.WithCancel(t.Context())
	go func() { a.ended <- a.Run(ctx) }()
	for !a.holds() {
		pause(t.Context(), 100*time.Millisecond)
	}
	return a
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
// the life ends, and a new one begins with what is there.
func TestALifeEndsWhenResourceVersionsFall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := runAlone(t)
		r.store.restore(50)
		if err := <-r.ended; !errors.Is(err, ErrReplaced) {
			t.Errorf("it ended with %v", err)
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
		lease := r.store.snapshot(r.cfg.BaseNamespace)[0]
		if age := time.Since(lease.Spec.RenewTime.Time); age > r.cfg.Renew/2 {
			t.Errorf("the base's Lease was renewed %s ago", age)
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
