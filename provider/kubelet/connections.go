package kubelet

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
)

const (
	// maxConnections bounds the connections to all ports.
	maxConnections = 512
	// maxStrangers bounds those of one address on which nobody was admitted yet: a sixteenth of
	// all. A stranger has some seconds to be admitted (see headerTimeout), and an API server
	// or a scraper, which comes from one address for all people, needs milliseconds, or the time
	// of a review: few of them are at it at a time.
	maxStrangers = 32
	// fewStrangers is that bound once half of all connections are open, so that a few addresses
	// together leave room too. A scraper of thousands of Nodes has one or two at a time.
	fewStrangers = 8
)

// Why a connection is closed at once.
const (
	tooMany          = "too_many_connections"
	tooManyStrangers = "too_many_unadmitted_connections"
)

// connections are all that are open, to whichever port. Its methods may be called from any
// goroutine.
type connections struct {
	// refused is told of each that is closed at once. It returns at once.
	refused func(reason string, from netip.Addr)

	mu sync.Mutex
	// mu guards what follows
	open      int
	strangers map[netip.Addr]int // those on which nobody was admitted yet, by remote address; none is zero
}

func newConnections(refused func(reason string, from netip.Addr)) *connections {
	return &connections{refused: refused, strangers: map[netip.Addr]int{}}
}

// enter counts a connection in, as a stranger's, or gives the reason why it may not be.
func (c *connections) enter(from netip.Addr) (reason string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	may := maxStrangers
	if c.half() {
		may = fewStrangers
	}
	switch {
	case c.open >= maxConnections:
		return tooMany
	case c.strangers[from] >= may:
		return tooManyStrangers
	}
	c.open++
	c.strangers[from]++
	return ""
}

// half says whether half of all are open. It needs mu.
func (c *connections) half() bool { return c.open >= maxConnections/2 }

// keeps says whether who asked keeps his connection after the answer: while half of all are
// free, and the API server, which has one at each port that it asked, while a quarter is.
func (c *connections) keeps(who asker) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if who.certified {
		return c.open < maxConnections*3/4
	}
	return !c.half()
}

// bounded is a listener that closes at once what is connected beyond what the connections may
// be.
type bounded struct {
	net.Listener
	all *connections
}

// Accept implements net.Listener.
func (b bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := remoteOf(conn)
		reason := b.all.enter(from)
		if reason == "" {
			return &slot{Conn: conn, of: b.all, from: from, stranger: true, open: true}, nil
		}
		_ = conn.Close() // nothing was said yet
		b.all.refused(reason, from)
	}
}

// remoteOf gives the address that a connection comes from, the zero one where there is none.
func remoteOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// slot is a connection that counts until it is closed.
type slot struct {
	net.Conn
	of   *connections
	from netip.Addr

	// of.mu guards what follows
	stranger, open bool
}

// admitted says that somebody was admitted on the connection.
func (s *slot) admitted() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.known()
}

// known ends counting it as a stranger's. It needs of.mu.
func (s *slot) known() {
	if !s.stranger {
		return
	}
	s.stranger = false
	if s.of.strangers[s.from]--; s.of.strangers[s.from] == 0 {
		delete(s.of.strangers, s.from)
	}
}

// Close implements net.Conn.
func (s *slot) Close() error {
	s.leave()
	return s.Conn.Close()
}

func (s *slot) leave() {
	s.of.mu.Lock()
	defer s.of.mu.Unlock()
	s.known()
	if s.open {
		s.open = false
		s.of.open--
	}
}

// slotKey is that of the slot of its connection in a request's context.
type slotKey struct{}

// withSlot puts the slot of a connection into the context of its requests.
func withSlot(ctx context.Context, conn net.Conn) context.Context {
	if secured, ok := conn.(*tls.Conn); ok {
		conn = secured.NetConn()
	}
	return context.WithValue(ctx, slotKey{}, conn)
}

// admitted says of a request's connection that somebody was admitted on it, or proved by a
// certificate.
func admitted(ctx context.Context) {
	if s, ok := ctx.Value(slotKey{}).(*slot); ok {
		s.admitted()
	}
}
