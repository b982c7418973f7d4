// Package connlimit bounds the connections that listeners have open, in all and from one
// address. One too many is closed as soon as it is accepted: none is kept waiting, for who
// comes next may be somebody who has few. So netutil.LimitListener of golang.org/x/net does not
// fit: it has one bound for all addresses, and lets whoever comes beyond it wait.
package connlimit

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync"
)

// Limits are how many connections may be open.
type Limits struct {
	// All bounds all of them.
	All int
	// Each bounds those that count for one address: the last step that is reached holds. They
	// are in the order of From, the first from 0 on.
	Each []Step
}

// Step is a bound for each address, from so many open connections on, whosever they are.
type Step struct{ From, Each int }

// Reason is why a connection is closed at once; zero where it is not.
type Reason int

const (
	// TooMany: all that may be are open.
	TooMany Reason = iota + 1
	// TooManyOfOne: all that may be of its address are.
	TooManyOfOne
)

// Refuses gives the reason why there may not be one more connection of an address that has some,
// of so many that are open.
func (l Limits) Refuses(has, open int) Reason {
	each := 0
	for _, s := range l.Each {
		if open >= s.From {
			each = s.Each
		}
	}
	switch {
	case open >= l.All:
		return TooMany
	case has >= each:
		return TooManyOfOne
	}
	return 0
}

// Limiter counts the open connections of its listeners together. Its methods may be called from
// any goroutine.
type Limiter struct {
	limits  Limits
	refused func(netip.Addr, Reason)

	mu sync.Mutex
	// mu guards what follows
	open int
	of   map[netip.Addr]int // those that count for an address; none is zero
}

// New makes a Limiter without listeners. It calls refused, which must return at once, for each
// connection that was closed, with the address that it came from.
func New(limits Limits, refused func(netip.Addr, Reason)) *Limiter {
	return &Limiter{limits: limits, refused: refused, of: map[netip.Addr]int{}}
}

// Listen gives a listener whose connections are bounded. Each counts until it is closed.
func (l *Limiter) Listen(inner net.Listener) net.Listener { return listener{inner, l} }

// Open gives how many connections are open.
func (l *Limiter) Open() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open
}

// Of gives how many of them count for an address.
func (l *Limiter) Of(from netip.Addr) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.of[from]
}

// enter counts a connection, or gives the reason why there may not be one more.
func (l *Limiter) enter(from netip.Addr) Reason {
	l.mu.Lock()
	defer l.mu.Unlock()
	if reason := l.limits.Refuses(l.of[from], l.open); reason != 0 {
		return reason
	}
	l.open++
	l.of[from]++
	return 0
}

// listener closes at once what is connected beyond the limits.
type listener struct {
	net.Listener
	limiter *Limiter
}

// Accept implements net.Listener.
func (l listener) Accept() (net.Conn, error) {
	for {
		inner, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := remoteOf(inner)
		reason := l.limiter.enter(from)
		if reason == 0 {
			return &conn{Conn: inner, limiter: l.limiter, from: from, counts: true, open: true}, nil
		}
		_ = inner.Close() // nothing was said yet
		l.limiter.refused(from, reason)
	}
}

// remoteOf gives the address that a connection comes from, the zero one where there is none.
func remoteOf(c net.Conn) netip.Addr {
	if tcp, ok := c.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// conn is a connection that counts until it is closed.
type conn struct {
	net.Conn
	limiter *Limiter
	from    netip.Addr

	// limiter.mu guards what follows
	counts bool // for its address
	open   bool
}

// Close implements net.Conn.
func (c *conn) Close() error {
	defer c.leave()
	return c.Conn.Close()
}

func (c *conn) leave() {
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	c.admit()
	if c.open {
		c.open = false
		c.limiter.open--
	}
}

// admit ends counting it for its address. It needs limiter.mu.
func (c *conn) admit() {
	if !c.counts {
		return
	}
	c.counts = false
	if c.limiter.of[c.from]--; c.limiter.of[c.from] == 0 {
		delete(c.limiter.of, c.from)
	}
}

// connKey is that of a request's connection in its context.
type connKey struct{}

// ConnContext has the requests of a connection know it: it is an http.Server's ConnContext. The
// connection may be one over TLS.
func ConnContext(ctx context.Context, c net.Conn) context.Context {
	if secured, ok := c.(*tls.Conn); ok {
		c = secured.NetConn()
	}
	return context.WithValue(ctx, connKey{}, c)
}

// Admitted says that who sends a request is known: its connection counts for its address no
// longer. It does nothing where the context knows no connection of a Limiter.
func Admitted(ctx context.Context) {
	c, ok := ctx.Value(connKey{}).(*conn)
	if !ok {
		return
	}
	c.limiter.mu.Lock()
	defer c.limiter.mu.Unlock()
	c.admit()
}
