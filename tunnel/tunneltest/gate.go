package tunneltest

import (
	"net"
	"sync"
)

// gate is a listener that knows which of its connections the broker's library has
// begun to serve. The library counts a connection when it begins and waits for all
// of them at its end, without ordering the two: gate lets the end wait for those
// that were accepted.
type gate struct {
	net.Listener

	mu sync.Mutex
	// mu guards what follows
	waiting int
	none    sync.Cond // signalled when waiting has become 0
}

func newGate(l net.Listener) *gate {
	g := &gate{Listener: l}
	g.none.L = &g.mu
	return g
}

// Accept implements net.Listener.
func (g *gate) Accept() (net.Conn, error) {
	g.mu.Lock()
	g.waiting++ // before the connection is there, so that shut sees it
	g.mu.Unlock()
	c, err := g.Listener.Accept()
	if err != nil {
		g.begun()
		return nil, err
	}
	return &gated{Conn: c, gate: g}, nil
}

func (g *gate) begun() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.waiting--; g.waiting == 0 {
		g.none.Broadcast()
	}
}

// shut takes no more connections, and returns when all that were taken are served.
func (g *gate) shut() error {
	err := g.Close()
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.waiting > 0 {
		g.none.Wait()
	}
	return err
}

// gated tells its gate when it is first read: it is counted then.
type gated struct {
	net.Conn
	gate *gate
	once sync.Once
}

// Read implements net.Conn.
func (c *gated) Read(b []byte) (int, error) {
	c.once.Do(c.gate.begun)
	return c.Conn.Read(b)
}
