package httptunnel

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
)

// limited is a listener that closes connections which are too many, in all or from one
// address, as soon as they are accepted. It never keeps one waiting: who comes next may be
// a base.
type limited struct {
	net.Listener
	all, each int                     // limits
	refused   func(netip.Addr, error) // returns at once

	mu sync.Mutex
	// mu guards what follows
	open  int
	byOne map[netip.Addr]int // from one address, none of them zero
}

func limit(l net.Listener, all, each int, refused func(netip.Addr, error)) *limited {
	return &limited{Listener: l, all: all, each: each, refused: refused, byOne: map[netip.Addr]int{}}
}

// mayConnect reports whether an address that has some connections may have one more. The
// more there are in all, the fewer each may have: from a half on an eighth, in the last
// quarter one, so that a few addresses cannot use them all up.
func mayConnect(has, each, open, all int) bool {
	switch {
	case open >= all:
		return false
	case open >= all-all/4:
		each = 1
	case open >= all/2:
		each = max(1, each/8)
	}
	return has < each
}

// Accept implements net.Listener.
func (l *limited) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		from := remoteOf(conn)
		if l.enter(from) {
			return &counted{Conn: conn, left: sync.OnceFunc(func() { l.leave(from) })}, nil
		}
		_ = conn.Close() // nothing was said yet
		l.refused(from, fmt.Errorf("too many connections: at most %d from one address, fewer when there are many, and %d in all: "+
			"raise HTTP_TUNNEL_MAX_CONNECTIONS if there are that many bases", l.each, l.all))
	}
}

// sparing has who is answered close the connection where there are many: bases keep theirs
// from one heartbeat to the next, and those who come later would be refused for ever.
func (l *limited) sparing(h http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if l.scarce(sourceOf(r)) {
			w.Header().Set("Connection", "close")
		}
		h.ServeHTTP(w, r)
	})
}

// scarce reports whether half of the connections are open, in all or of one address.
func (l *limited) scarce(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return 2*l.open >= l.all || 2*l.byOne[from] >= l.each
}

func (l *limited) enter(from netip.Addr) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if !mayConnect(l.byOne[from], l.each, l.open, l.all) {
		return false
	}
	l.open++
	l.byOne[from]++
	return true
}

func (l *limited) leave(from netip.Addr) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.open--
	if l.byOne[from]--; l.byOne[from] == 0 {
		delete(l.byOne, from)
	}
}

// remoteOf gives the address that a connection comes from, the zero one where there is
// none.
func remoteOf(conn net.Conn) netip.Addr {
	if tcp, ok := conn.RemoteAddr().(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

// counted is a connection that counts until it is closed.
type counted struct {
	net.Conn
	left func()
}

func (c *counted) Close() error {
	defer c.left()
	return c.Conn.Close()
}
