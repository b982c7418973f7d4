package election

import (
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"
)

// It is told at the start how often Leases are renewed, and why.
func TestTheIntervalOfRenewalsIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		core, logged := observer.New(zapcore.InfoLevel)
		g := runGiver(t, 1, many(), zap.New(core))
		defer g.end()
		told := logged.FilterMessageSnippet("as seldom as a failover permits").All()
		if len(told) != 1 {
			t.Fatalf("it was told %d times", len(told))
		}
		fields := told[0].ContextMap()
		if fields["interval"] != 29*time.Second || fields["boundBy"] != "NODE_MONITOR_GRACE" {
			t.Errorf("it was told %v", fields)
		}
	})
}

// With a member that takes longer to know that another has failed, Leases are renewed so
// often that a failover fits all the same; without it as before.
func TestLeasesAreRenewedForTheSlowestMember(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := runGiver(t, 20, many(), nil)
		defer g.end()
		worst := func() (oldest time.Duration) {
			pause(t.Context(), 30*time.Second) // until all were renewed since
			for range 120 {
				pause(t.Context(), time.Second)
				oldest = max(oldest, g.oldest())
			}
			return oldest
		}
		if was := worst(); was < 25*time.Second || was > 30*time.Second {
			t.Errorf("among equals the oldest Lease was %s old", was)
		}
		slow := whole()
		slow.MemberDuration = 25 * time.Second // known after 26 s, in 50 s with 5 s each for claims and to spare
		slow.Envs = []string{"other"}          // so that no base moves
		living, leave := context.WithCancel(t.Context())
		go accompanyAs(living, g.store, slow)
		if is := worst(); is > 15*time.Second || g.Health().RenewEvery != 14*time.Second {
			t.Errorf("with a slow member the oldest Lease was %s old, renewed every %s", is, g.Health().RenewEvery)
		}
		leave()
		pause(t.Context(), time.Minute)
		if was := worst(); was < 25*time.Second {
			t.Errorf("after it had been expired the oldest Lease was %s old", was)
		}
	})
}

// An API server that lets too few renewals through is told, and shown by the metrics' source,
// long before a Node turns.
func TestRenewalsThatFallBehindAreTold(t *testing.T) {
	for name, c := range map[string]struct {
		change func(l *link)
		remedy string
	}{
		"it takes seconds for each": {slowly(4 * time.Second), "give the API server"},
		"it takes a while for each": {slowly(900 * time.Millisecond), "run more replicas"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				core, logged := observer.New(zapcore.WarnLevel)
				bases, workers := 4000, many()
				if fewer > 1 {
					bases, workers = 1000, few() // as many for each worker
				}
				g := runGiver(t, bases, workers, zap.New(core))
				defer g.end()
				pause(t.Context(), 30*time.Second)
				if behind := g.Health().Behind; behind > 2*time.Second || logged.Len() > 0 {
					t.Errorf("at first renewals are %s behind: %v", behind, logged.All())
				}
				g.work.set(c.change)
				var told []observer.LoggedEntry
				for len(told) == 0 && g.oldest() < g.cfg.Grace {
					pause(t.Context(), time.Second)
					told = logged.FilterMessageSnippet("leases fall behind").All()
				}
				if len(told) == 0 {
					t.Fatalf("a Lease is %s old, and nobody was told", g.oldest())
				}
				if left := g.cfg.Grace - g.oldest(); left < 10*time.Second {
					t.Errorf("it was told %s before a Node turns", left)
				}
				if behind := g.Health().Behind; behind <= 5*time.Second {
					t.Errorf("it was told, and shows %s behind", behind)
				}
				if remedy, _ := told[0].ContextMap()["remedy"].(string); !strings.Contains(remedy, c.remedy) {
					t.Errorf("the remedy is %q, want %q", remedy, c.remedy)
				}
				pause(t.Context(), 30*time.Second)
				if n := logged.FilterMessageSnippet("leases fall behind").Len(); n != 1 {
					t.Errorf("it was told %d times in half a minute", n)
				}
			})
		})
	}
}

// slowly has each request take as long as that.
func slowly(takes time.Duration) func(l *link) {
	return func(l *link) { l.latency, l.least = takes/2, takes/2 }
}
