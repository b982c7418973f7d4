package httptunnel

import (
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
)

// counts counts what was dropped, by reason. The zero value is ready.
type counts struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counts) Dropped(_, reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = map[string]int{}
	}
	c.by[reason]++
}

func (*counts) Command(string, tunnel.Verb, string, time.Duration) {}

func (c *counts) of(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[reason]
}

func quiet(t testing.TB) *zap.Logger {
	t.Helper()
	return zaptest.NewLogger(t, zaptest.Level(zap.WarnLevel))
}

func put(t testing.TB, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// idle reports whether no request is in flight.
func (t *Tunnel) idle() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.shares.inFlight() == 0
}
