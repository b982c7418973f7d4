package tunneltest

import (
	"context"
	"sync"
	"time"
)

// Gate is a tunnel.Gate in the hand of a test.
type Gate struct {
	mu sync.Mutex
	// mu guards what follows
	limited bool          // Valid gives true only left times more
	left    int           // how often Valid still gives true
	denied  int           // how often Valid gave false
	proof   time.Time     // when the permission was renewed last
	proved  chan struct{} // closed with the next proof
	waiting int           // calls of Fresh that wait for it
}

// NewGate gives an open gate whose permission was renewed just now.
func NewGate() *Gate { return &Gate{proof: time.Now(), proved: make(chan struct{})} }

// Valid implements tunnel.Gate.
func (g *Gate) Valid() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.limited {
		return true
	}
	if g.left == 0 {
		g.denied++
		return false
	}
	g.left--
	return true
}

// Fresh implements tunnel.Gate.
func (g *Gate) Fresh(ctx context.Context, since time.Time) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.waiting++
	defer func() { g.waiting-- }()
	for !g.proof.After(since) {
		proved := g.proved
		g.mu.Unlock()
		select {
		case <-proved:
		case <-ctx.Done():
		}
		g.mu.Lock()
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// Shut has Valid give true n times more, then false. With n = 1 the gate is open when Do
// checks it and shut when the bytes leave: a process can be paused in between.
func (g *Gate) Shut(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limited, g.left, g.denied = true, n, 0
}

// Denied is how often Valid has given false since Shut.
func (g *Gate) Denied() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.denied
}

// Open has Valid give true again.
func (g *Gate) Open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.limited = false
}

// Prove renews the permission, and gives when.
func (g *Gate) Prove() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.proof = time.Now()
	close(g.proved)
	g.proved = make(chan struct{})
	return g.proof
}

// Waiting reports whether a call of Fresh is waiting.
func (g *Gate) Waiting() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting > 0
}
