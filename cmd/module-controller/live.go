package main

import (
	"context"
	"strings"
	"sync"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/time/rate"
)

// live is what changes while the program runs. Sessions share it.
type live struct {
	level zap.AtomicLevel
	// work and metadata limit the requests of the clients that are called so.
	work, metadata limiter

	mu sync.Mutex
	// mu guards what follows
	waiting []string // settings that have changed and need a restart
	refused bool     // files have changed and cannot be used
}

func newLive(c *config) *live {
	l := &live{level: zap.NewAtomicLevel(), work: newLimiter(c), metadata: newLimiter(c)}
	l.set(c)
	return l
}

// newLimiter has its burst from the start on.
func newLimiter(c *config) limiter { return limiter{rate.NewLimiter(rate.Limit(c.qps), c.burst)} }

// set has a configuration take effect.
func (l *live) set(c *config) {
	if level, err := zapcore.ParseLevel(c.logLevel); err == nil { // it was checked
		l.level.SetLevel(level)
	}
	for _, limit := range []limiter{l.work, l.metadata} {
		limit.SetLimit(rate.Limit(c.qps))
		limit.SetBurst(c.burst)
	}
}

// wait keeps which settings need a restart, and says whether they are others than before.
func (l *live) wait(names []string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	others := strings.Join(names, ",") != strings.Join(l.waiting, ",")
	l.waiting = names
	return others
}

// notes tell of settings that need a restart; l may be nil.
func (l *live) notes() []string {
	if l == nil {
		return nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if len(l.waiting) == 0 {
		return nil
	}
	return []string{"changed settings need a restart: " + strings.Join(l.waiting, ", ")}
}

// refuse keeps whether files have changed and cannot be used.
func (l *live) refuse(refused bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.refused = refused
}

// isRefused says whether files have changed and cannot be used; l may be nil.
func (l *live) isRefused() bool {
	if l == nil {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refused
}

// limiter implements flowcontrol.RateLimiter with limits that can change.
type limiter struct{ *rate.Limiter }

// TryAccept implements flowcontrol.RateLimiter.
func (l limiter) TryAccept() bool { return l.Allow() }

// Accept implements flowcontrol.RateLimiter.
func (l limiter) Accept() { _ = l.Wait(context.Background()) }

// Stop implements flowcontrol.RateLimiter.
func (l limiter) Stop() {}

// QPS implements flowcontrol.RateLimiter.
func (l limiter) QPS() float32 { return float32(l.Limit()) }
