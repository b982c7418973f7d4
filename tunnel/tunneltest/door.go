package tunneltest

import (
	"crypto/tls"
	"log/slog"
	"net"
	"sync"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// door is where the embedded broker takes connections. The library's own listener
// does two things wrong when it is closed: it locks a lock for reading that it has
// locked already, and so waits for ever on a client that leaves meanwhile; and it
// counts a connection and waits for all of them without ordering the two. This one
// closes the connections itself, and is closed when all are served.
type door struct {
	address string
	secure  *tls.Config // nil for none
	work    sync.WaitGroup

	mu sync.Mutex
	// mu guards what follows
	listener net.Listener
	conns    map[net.Conn]struct{}
	closed   bool
}

var _ listeners.Listener = (*door)(nil)

func (d *door) ID() string       { return "door" }
func (d *door) Protocol() string { return "tcp" }

// Address is where it listens, once it does.
func (d *door) Address() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.listener == nil {
		return d.address
	}
	return d.listener.Addr().String()
}

func (d *door) Init(*slog.Logger) error {
	l, err := net.Listen("tcp", d.address) //nolint:noctx // it is there at once
	if err != nil {
		return err
	}
	if d.secure != nil {
		l = tls.NewListener(l, d.secure)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.listener, d.conns = l, map[net.Conn]struct{}{}
	return nil
}

// Serve takes connections until the door is closed.
func (d *door) Serve(establish listeners.EstablishFn) {
	d.mu.Lock()
	l := d.listener
	d.mu.Unlock()
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed
		}
		d.admit(conn, establish)
	}
}

func (d *door) admit(conn net.Conn, establish listeners.EstablishFn) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed {
		_ = conn.Close()
		return
	}
	d.conns[conn] = struct{}{}
	d.work.Go(func() {
		_ = establish(d.ID(), conn) // why it ended does not matter here
		_ = conn.Close()
		d.mu.Lock()
		delete(d.conns, conn)
		d.mu.Unlock()
	})
}

// Close closes the door and all connections, and waits for their ends.
func (d *door) Close(listeners.CloseFn) {
	d.mu.Lock()
	d.closed = true
	_ = d.listener.Close()
	for conn := range d.conns {
		_ = conn.Close()
	}
	d.mu.Unlock()
	d.work.Wait()
}
