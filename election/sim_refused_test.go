package election

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// What a replica with many bases does while the API server refuses its requests, answers
// some of them never, or answers slowly, but only those for bases' Leases.

// oldest gives the age of the oldest Lease of a base, by the renew times.
func (g *giver) oldest() (oldest time.Duration) {
	for _, l := range g.store.snapshot(g.cfg.BaseNamespace) {
		oldest = max(oldest, time.Since(l.Spec.RenewTime.Time))
	}
	return oldest
}

// requests gives how many requests for bases' Leases there were.
func (g *giver) requests() (n int) {
	g.work.set(func(l *link) { n = l.asked })
	return n
}

// Where all is refused all bases wait together, one is tried for all, and it is told once.
// When it is not refused any more, all follow at once.
func TestRefusalsAreNotRepeatedForEachBase(t *testing.T) {
	for name, refusal := range map[string]error{
		"rights were taken away": apierrors.NewForbidden(resource, "", errors.New("no")),
		"too many requests":      apierrors.NewTooManyRequests("later", 1),
		"it is broken":           apierrors.NewInternalError(errors.New("broken")),
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logged := observer.New(zapcore.WarnLevel)
				g := runGiver(t, 1000/fewer, many(), zap.New(core))
				defer g.end()
				pause(t.Context(), 30*time.Second)
				g.work.set(func(l *link) { l.refuse = refusal })
				pause(t.Context(), time.Minute)
				before := g.requests()
				pause(t.Context(), time.Minute)
				if n := g.requests() - before; n > 10*60 || n < 30 {
					t.Errorf("there were %d requests in a minute", n)
				}
				if told := logged.FilterMessage("lease not written").Len(); told < 1 || told > 3 {
					t.Errorf("it was told %d times in two minutes", told)
				}
				if !g.Health().Refused {
					t.Error("it says that nothing is refused")
				}
				g.work.set(func(l *link) { l.refuse = nil })
				pause(t.Context(), 5*time.Second)
				if oldest := g.oldest(); oldest > 10*time.Second || g.Health().Refused {
					t.Errorf("5 s later a Lease was renewed %s ago", oldest)
				}
			})
		})
	}
}

// No base's Lease is as old as its Node may be (50 s) before it turns NotReady, and it is known how
// old the oldest is.
func TestRenewalsKeepUp(t *testing.T) {
	for name, c := range map[string]struct {
		bases  int
		change func(l *link)
	}{
		"a tenth is never answered":        {500, func(l *link) { l.stuck = 0.1 }},
		"a fifth is never answered":        {500, func(l *link) { l.stuck = 0.2 }},
		"many of them take 500 ms a write": {2000, func(l *link) { l.latency = 500 * time.Millisecond }},
		"500 of them take 2 s a write":     {500, func(l *link) { l.latency = 2 * time.Second }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := runGiver(t, c.bases/fewer, many(), nil)
				defer g.end()
				g.work.set(c.change)
				var worst, told time.Duration
				for range 24 {
					pause(t.Context(), 5*time.Second)
					worst, told = max(worst, g.oldest()), max(told, g.Health().OldestLease)
				}
				if worst > 45*time.Second {
					t.Errorf("a Lease was %s old, it says %s", worst, told)
				}
				if told < worst-6*time.Second {
					t.Errorf("a Lease was %s old, but it says %s", worst, told)
				}
				t.Logf("the oldest Lease was %s old, %d workers", worst, g.Health().Workers)
			})
		})
	}
}

// What falls behind is told before a Node turns.
func TestLeasesThatFallBehindAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zapcore.WarnLevel)
		g := runGiver(t, 10, many(), zap.New(core))
		defer g.end()
		g.work.set(silent)
		for g.oldest() < g.cfg.Grace-10*time.Second {
			pause(t.Context(), time.Second)
		}
		if logged.FilterMessageSnippet("leases fall behind").Len() != 1 {
			t.Errorf("a Lease is %s old, and nobody was told", g.oldest())
		}
	})
}
