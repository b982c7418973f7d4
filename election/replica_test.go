package election

import (
	"context"
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

// Whoever asks for a claim while the API server is away is told that there is none.
// When it is back, he is told to ask again.
func TestAClaimThatIsGoodAgainIsTold(t *testing.T) {
	klog.SetOutput(io.Discard)
	klog.LogToStderr(false)
	utilruntime.ErrorHandlers = nil
	synctest.Test(t, func(t *testing.T) {
		store := newStore()
		connect := func(seed uint64) *link {
			return &link{store: store, rng: rand.New(rand.NewPCG(seed, seed)), latency: 5 * time.Millisecond, lag: 10 * time.Millisecond}
		}
		member, work := connect(1), connect(2)
		cfg := whole()
		var told atomic.Int32
		r, err := New(member, work, cfg, Hooks{Changed: func(tunnel.BaseID) { told.Add(1) }}, simLog(cfg.Incarnation))
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error, 1)
		go func() { ended <- r.Run(ctx) }()
		held := func() bool { _, ok := r.Claim(base); return ok }
		for !held() {
			pause(t.Context(), 100*time.Millisecond)
		}
		member.set(func(l *link) { l.cut = true })
		pause(t.Context(), 6*time.Second)
		if held() {
			t.Error("it may act without the API server")
		}
		before := told.Load()
		member.set(func(l *link) { l.cut = false })
		pause(t.Context(), 6*time.Second)
		if !held() {
			t.Error("it may not act although the API server is back")
		}
		if told.Load() == before {
			t.Error("nobody was told that the claim is good again")
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
