package main

import (
	"context"
	"strings"
	"sync"
	"sync/atomic"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/time/rate"

	"module-controller/provider"
	mqtttunnel "module-controller/tunnel/mqtt"
)

// live is what changes while the program runs. Sessions share it.
type live struct {
	level zap.AtomicLevel
	// work and metadata limit the requests of the clients that are called so.
	work, metadata limiter
	// current is the configuration as it was last read.
	current atomic.Pointer[config]

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

// set has a configuration take effect: what of it may change while the program runs.
func (l *live) set(c *config) {
	l.current.Store(c)
	if level, err := zapcore.ParseLevel(c.logLevel); err == nil { // it was checked
		l.level.SetLevel(level)
	}
	for _, limit := range []limiter{l.work, l.metadata} {
		limit.SetLimit(rate.Limit(c.qps))
		limit.SetBurst(c.burst)
	}
}

// now is the configuration as it was last read, of which a running session follows what may
// change.
func (c *config) now() *config {
	if c.live == nil {
		return c
	}
	return c.live.current.Load()
}

// login is who the program is at the broker.
func (c *config) login() mqtttunnel.Login {
	m := c.now().mqtt
	return mqtttunnel.Login{Username: m.Username, Password: m.Password, PasswordFile: m.PasswordFile}
}

// limits are how fast bases come in and are asked.
func (c *config) limits() provider.Limits {
	p := c.now().provider
	return provider.Limits{Admission: p.Admission, QuestionRate: p.QuestionRate}
}

// identities are how many bases one sender over HTTP adds a second, and speaks for.
func (c *config) identities() (newOnes, most int) {
	h := c.now().http.Complete()
	return h.NewIdentities, h.MaxIdentities
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
