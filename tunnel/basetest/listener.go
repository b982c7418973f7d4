package basetest

import (
	"crypto/tls"
	"log/slog"
	"net"
	"sync"

	"github.com/mochi-mqtt/server/v2/listeners"
)

// listener is where the embedded broker takes connections. The library's own listener
// does two things wrong when it is closed: it locks a lock for reading that it has
// locked already, and so waits for ever on a client that leaves meanwhile; and it
// counts a connection and waits for all of them without ordering the two. This one
// closes the connections itself, and Close returns when all have been served.
type listener struct {
	address string
	secure  *tls.Config // nil for none
	work    sync.WaitGroup

	mu sync.Mutex
	// mu guards what follows
	tcp    net.Listener // nil before Init
	conns  map[net.Conn]struct{}
	closed bool
}

var _ listeners.Listener = (*listener)(nil)

func (l *listener) ID() string       { return "tcp" }
func (l *listener) Protocol() string { return "tcp" }

// Address is where it listens, once it does.
func (l *listener) Address() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tcp == nil {
		return l.address
	}
	return l.tcp.Addr().String()
}

func (l *listener) Init(*slog.Logger) error {
	tcp, err := net.Listen("tcp", l.address) //nolint:noctx // it is there at once
	if err != nil {
		return err
	}
	if l.secure != nil {
		tcp = tls.NewListener(tcp, l.secure)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tcp, l.conns = tcp, map[net.Conn]struct{}{}
	return nil
}

// Serve takes connections until Close.
func (l *listener) Serve(establish listeners.EstablishFn) {
	l.mu.Lock()
	tcp := l.tcp
	l.mu.Unlock()
	for {
		conn, err := tcp.Accept()
		if err != nil {
			return // closed
		}
		l.accept(conn, establish)
	}
}

func (l *listener) accept(conn net.Conn, establish listeners.EstablishFn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		_ = conn.Close()
		return
	}
	l.conns[conn] = struct{}{}
	l.work.Go(func() {
		_ = establish(l.ID(), conn) // why it ended does not matter here
		_ = conn.Close()
		l.mu.Lock()
		delete(l.conns, conn)
		l.mu.Unlock()
	})
}

// Close closes the listener and all connections, and waits until they have ended.
func (l *listener) Close(listeners.CloseFn) {
	l.mu.Lock()
	l.closed = true
	_ = l.tcp.Close()
	for conn := range l.conns {
		_ = conn.Close()
	}
	l.mu.Unlock()
	l.work.Wait()
}
