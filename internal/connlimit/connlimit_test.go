package connlimit

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"testing"
)

// The more connections are open, the fewer each address may have, and nobody has one beyond all.
func TestHowManyConnectionsThereMayBe(t *testing.T) {
	limits := Limits{All: 16, Each: []Step{{0, 4}, {8, 2}, {12, 1}}}
	for _, c := range []struct {
		has, open int
		want      Reason
	}{
		{0, 0, 0}, {3, 7, 0}, {4, 7, TooManyOfOne},
		{1, 8, 0}, {2, 8, TooManyOfOne},
		{0, 12, 0}, {1, 12, TooManyOfOne},
		{0, 15, 0}, {0, 16, TooMany}, {4, 16, TooMany}, {0, 17, TooMany},
	} {
		if got := limits.Refuses(c.has, c.open); got != c.want {
			t.Errorf("one more for who has %d of %d: %d, want %d", c.has, c.open, got, c.want)
		}
	}
	if got := (Limits{All: 1}).Refuses(0, 0); got != TooManyOfOne {
		t.Errorf("where no step is, one is refused by %d", got)
	}
}

// visitor is a connection that comes from an address.
type visitor struct {
	net.Conn
	from   net.Addr
	closed int // how often
}

func (v *visitor) RemoteAddr() net.Addr { return v.from }

func (v *visitor) Close() error {
	v.closed++
	return errClosed
}

var errClosed = errors.New("it is closed")

// at is the address of a visitor.
func at(address string) net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(address), 1))
}

// door is a listener to which all visitors came, and nobody else will.
type door struct {
	net.Listener
	visitors []*visitor
}

var errNobody = errors.New("nobody comes")

func (d *door) Accept() (net.Conn, error) {
	if len(d.visitors) == 0 {
		return nil, errNobody
	}
	v := d.visitors[0]
	d.visitors = d.visitors[1:]
	return v, nil
}

// guard is a Limiter and what it refused.
type guard struct {
	*Limiter
	refused []string // as "address reason"
}

func newGuard(limits Limits) *guard {
	g := &guard{}
	g.Limiter = New(limits, func(from netip.Addr, why Reason) { g.refused = append(g.refused, fmt.Sprint(from, " ", why)) })
	return g
}

// comes has somebody come from an address, to a listener of his own; the connection is nil where
// he was refused.
func (g *guard) comes(t *testing.T, from string) net.Conn {
	t.Helper()
	v := &visitor{from: at(from)}
	c, err := g.Listen(&door{visitors: []*visitor{v}}).Accept()
	switch {
	case err == nil:
		return c
	case !errors.Is(err, errNobody):
		t.Fatal(err)
	case v.closed != 1:
		t.Errorf("one of %s that was refused was closed %d times", from, v.closed)
	}
	return nil
}

// has asserts how many are open in all, and count for an address.
func (g *guard) has(t *testing.T, all int, from string, of int) {
	t.Helper()
	if is, its := g.Open(), g.Of(netip.MustParseAddr(from)); is != all || its != of {
		t.Errorf("%d are open, %d of %s; want %d and %d", is, its, from, all, of)
	}
}

// Connections to all listeners count together, each by the address that it came from however that
// is written, and until it is closed.
func TestConnectionsCountUntilTheyAreClosed(t *testing.T) {
	g := newGuard(Limits{All: 3, Each: []Step{{0, 2}}})
	first, second := g.comes(t, "10.0.0.1"), g.comes(t, "::ffff:10.0.0.1")
	g.has(t, 2, "10.0.0.1", 2)
	if g.comes(t, "10.0.0.1") != nil {
		t.Error("a third of one address came in")
	}
	third := g.comes(t, "fe80::1%eth0")
	g.has(t, 3, "fe80::1", 1)
	if g.comes(t, "10.0.0.3") != nil {
		t.Error("a fourth came in")
	}
	if want := []string{fmt.Sprint("10.0.0.1 ", TooManyOfOne), fmt.Sprint("10.0.0.3 ", TooMany)}; !slices.Equal(g.refused, want) {
		t.Errorf("told is %q, want %q", g.refused, want)
	}
	for _, c := range []net.Conn{first, second, third} {
		for range 2 {
			if err := c.Close(); !errors.Is(err, errClosed) {
				t.Errorf("closing one gives %v", err)
			}
		}
	}
	if g.open != 0 || len(g.of) != 0 {
		t.Errorf("after the end %d are open, and of addresses %v", g.open, g.of)
	}
}

// Who was refused keeps nobody from being accepted after him, and who cannot be accepted is an
// error.
func TestWhoComesNextIsAccepted(t *testing.T) {
	g := newGuard(Limits{All: 2, Each: []Step{{0, 1}}})
	one, again, other := &visitor{from: at("10.0.0.1")}, &visitor{from: at("10.0.0.1")}, &visitor{from: at("10.0.0.2")}
	l := g.Listen(&door{visitors: []*visitor{one, again, other}})
	for _, want := range []*visitor{one, other} {
		c, err := l.Accept()
		if err != nil || c.RemoteAddr() != want.from {
			t.Fatalf("accepted is %v (%v), want %v", c, err, want.from)
		}
	}
	if one.closed != 0 || again.closed != 1 || other.closed != 0 {
		t.Errorf("closed are %d, %d and %d", one.closed, again.closed, other.closed)
	}
	if _, err := l.Accept(); !errors.Is(err, errNobody) {
		t.Errorf("at the end: %v", err)
	}
}

// A connection on which somebody was admitted counts among all, and for its address no longer,
// however often he is admitted, and whatever comes first.
func TestWhoIsAdmittedCountsForNoAddress(t *testing.T) {
	for name, secured := range map[string]bool{"over TCP": false, "over TLS": true} {
		t.Run(name, func(t *testing.T) {
			g := newGuard(Limits{All: 3, Each: []Step{{0, 1}}})
			requestOf := func(c net.Conn) context.Context {
				if secured {
					c = tls.Server(c, &tls.Config{MinVersion: tls.VersionTLS13})
				}
				return ConnContext(t.Context(), c)
			}
			first := g.comes(t, "10.0.0.1")
			Admitted(requestOf(first))
			Admitted(requestOf(first)) // the next request
			g.has(t, 1, "10.0.0.1", 0)
			second := g.comes(t, "10.0.0.1")
			g.has(t, 2, "10.0.0.1", 1)
			_ = first.Close()
			g.has(t, 1, "10.0.0.1", 1)
			_ = second.Close()
			Admitted(requestOf(second))
			g.has(t, 0, "10.0.0.1", 0)
			if len(g.refused) != 0 {
				t.Errorf("refused are %q", g.refused)
			}
		})
	}
	Admitted(t.Context()) // of a request that came by no connection, as in tests
	Admitted(ConnContext(t.Context(), &visitor{}))
}
