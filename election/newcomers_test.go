package election

import (
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"module-controller/tunnel"
)

// asks has so many bases asked for, from one on, that nobody owned yet.
func (g *giver) asks(from, n int) {
	for i := range n {
		g.Claim(tunnel.BaseID{Env: "dev", Identity: fmt.Sprintf("base-%05d", from+i)})
	}
}

// few has a quarter of the workers, so that a quarter of the bases is many.
func few() Config {
	c := many()
	c.Workers /= 4
	return c
}

// A base that has neither a Lease nor a Node waits while renewals are behind, and comes in by
// itself once they have caught up. That is told, and what helps.
func TestANewBaseWaitsWhileRenewalsAreBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bases = 1000
		core, logged := observer.New(zapcore.InfoLevel)
		g := runGiver(t, bases, few(), zap.New(core))
		defer g.end()
		told := func(what string) []observer.LoggedEntry { return logged.FilterMessageSnippet(what).All() }
		pause(t.Context(), 30*time.Second)
		g.work.set(slowly(900 * time.Millisecond))
		for g.Health().Behind <= 6*time.Second {
			pause(t.Context(), time.Second)
		}
		g.asks(bases, 10)
		pause(t.Context(), 20*time.Second)
		if n := g.Census().Owned - bases; n > 0 || !g.Health().NewWait {
			t.Errorf("%d new bases are owned while renewals are %s behind; they wait: %v", n, g.Health().Behind, g.Health().NewWait)
		}
		if lines := told("new bases wait"); len(lines) != 1 || !strings.Contains(fmt.Sprint(lines[0].ContextMap()["remedy"]), "run more") {
			t.Errorf("it was told: %v", lines)
		}
		g.work.set(onTime)
		pause(t.Context(), 20*time.Second)
		if n := g.Census().Owned - bases; n != 10 || g.Health().NewWait {
			t.Errorf("%d new bases are owned once renewals are %s behind; they wait: %v", n, g.Health().Behind, g.Health().NewWait)
		}
		if lines := told("new bases come in again"); len(lines) != 1 {
			t.Errorf("it was told: %v", lines)
		}
	})
}

// Where more bases come than the API server carries, as many are owned as it does, and their
// Nodes stay Ready. The others wait.
func TestMoreBasesThanTheAPIServerCarries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const bases = 2500 // of which 16 workers renew 1,850 in 29 s, at 250 ms each
		g := runGiver(t, 1, few(), nil)
		defer g.end()
		g.work.set(slowly(250 * time.Millisecond))
		g.asks(1, bases)
		var oldest time.Duration
		for range 60 {
			pause(t.Context(), 5*time.Second)
			oldest = max(oldest, g.oldest())
		}
		owned := g.Census().Owned
		if oldest >= g.cfg.Grace {
			t.Errorf("a Lease was %s old, of %d bases", oldest, owned)
		}
		if owned < 1250 {
			t.Errorf("%d bases are owned", owned)
		}
		t.Logf("%d of %d bases are owned, the oldest Lease was %s old", owned, bases, oldest)
	})
}
