package proxy

import (
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// an echo sends back what it gets, and counts connections.
type echo struct {
	l       net.Listener
	running sync.WaitGroup
	came    chan struct{}
}

func newEcho(t *testing.T) *echo {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	e := &echo{l: l, came: make(chan struct{}, 100)}
	e.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			e.came <- struct{}{}
			e.running.Go(func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			})
		}
	})
	return e
}

func (e *echo) close() { _ = e.l.Close(); e.running.Wait() }

// started gives a proxy before an echo. Both end with the test, the proxy first, and
// leave no goroutine.
func started(t *testing.T) (*Proxy, *echo) {
	t.Helper()
	before := goleak.IgnoreCurrent()
	e := newEcho(t)
	p, err := Start(e.l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
		e.close()
		goleak.VerifyNone(t, before)
	})
	return p, e
}

func dial(t *testing.T, p *Proxy) *net.TCPConn {
	t.Helper()
	c, err := net.DialTimeout("tcp", p.Addr(), timeout)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(timeout)); err != nil {
		t.Fatal(err)
	}
	return c.(*net.TCPConn)
}

// answers shows that what is said comes back.
func answers(t *testing.T, c net.Conn, words string) {
	t.Helper()
	if _, err := io.WriteString(c, words); err != nil {
		t.Fatal(err)
	}
	hears(t, c, words)
}

func hears(t *testing.T, c net.Conn, words string) {
	t.Helper()
	got := make([]byte, len(words))
	if _, err := io.ReadFull(c, got); err != nil || string(got) != words {
		t.Fatalf("heard %q (%v), want %q", got, err, words)
	}
}

// silent shows that nothing comes for a while.
func silent(t *testing.T, c net.Conn) {
	t.Helper()
	defer c.SetReadDeadline(time.Now().Add(timeout))
	if err := c.SetReadDeadline(time.Now().Add(300 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	n, err := c.Read(make([]byte, 1))
	if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("read %d bytes (%v), want silence", n, err)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
