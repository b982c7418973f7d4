package httptunnel

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"module-controller/tunnel/tunneltest"
)

func TestHowManyMayConnect(t *testing.T) {
	const each, all = 64, 4096
	for _, c := range []struct {
		has, open int
		want      bool
	}{
		{0, 0, true}, {63, 63, true}, {64, 64, false},
		{7, all / 2, true}, {8, all / 2, false},
		{0, all - all/4, true}, {1, all - all/4, false},
		{0, all - 1, true}, {0, all, false},
	} {
		if got := mayConnect(c.has, each, c.open, all); got != c.want {
			t.Errorf("one of %d with %d: %v", c.open, c.has, got)
		}
	}
	for all := 1; all < 20; all++ { // however few there are, the last is for whoever has none
		if !mayConnect(0, 1, all-1, all) {
			t.Errorf("of %d the last is refused", all)
		}
	}
}

// Thousands of connections from a few addresses leave room for others.
func TestFewAddressesLeaveConnectionsToOthers(t *testing.T) {
	open, all := 0, 4096
	for range 63 {
		for has := 0; mayConnect(has, 64, open, all); has++ {
			open++
		}
	}
	if open >= all || !mayConnect(0, 64, open, all) {
		t.Errorf("63 addresses have %d of %d", open, all)
	}
}

// closed reports whether the other end has closed a connection. A connection that is open
// says nothing.
func closed(t *testing.T, c net.Conn) bool {
	t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(5 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

func TestTooManyConnectionsAreClosed(t *testing.T) {
	counted := &counts{}
	tun, _, url := startCounting(t, counted, func(c *Config) {
		c.Timeout, c.InstallTimeout = time.Minute, time.Minute // nothing else closes them
		c.MaxConnections, c.ConnectionsEach = 16, 2
	})
	_ = tun
	connect := func(address string) net.Conn {
		conn, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(address)}}).Dial("tcp", strings.TrimPrefix(url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	first, second := connect("127.0.0.21"), connect("127.0.0.21")
	third := connect("127.0.0.21")
	tunneltest.Await(t, "the third to be closed", func() bool { return closed(t, third) })
	if closed(t, first) || closed(t, second) {
		t.Error("one that was there before was closed")
	}
	if got := say(t, from(t, "127.0.0.22"), url, beat("b", "127.0.0.22", 1)); got != 200 {
		t.Errorf("from another address: %d", got)
	}
	if n := counted.of("too_many_connections"); n != 1 {
		t.Errorf("%d were counted", n)
	}
	_ = first.Close()
	tunneltest.Await(t, "room", func() bool {
		conn := connect("127.0.0.21")
		defer conn.Close()
		if _, err := io.WriteString(conn, "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"); err != nil {
			return false
		}
		answer, err := io.ReadAll(conn)
		return err == nil && len(answer) > 0
	})
}

// More bases than there may be connections are all heard, although each keeps its own from
// one heartbeat to the next where it may.
func TestMoreBasesThanConnectionsAreHeard(t *testing.T) {
	_, s, url := start(t, func(c *Config) {
		c.Timeout, c.InstallTimeout = time.Minute, time.Minute
		c.MaxConnections, c.ConnectionsEach = 16, 4
	})
	const bases = 64
	for i := range bases {
		c, body := from(t, fmt.Sprintf("127.0.0.%d", 30+i)), beat(fmt.Sprint("b", i), "127.0.0.1", 1)
		tunneltest.Await(t, fmt.Sprint("base ", i), func() bool { return sayOnce(c, url, body) == nil })
	}
	heard := map[string]bool{}
	for _, h := range s.Recorded().Beats {
		heard[h.Base.Identity] = true
	}
	if len(heard) != bases {
		t.Errorf("%d of %d were heard", len(heard), bases)
	}
}

// sayOnce posts a heartbeat whose connection may be refused.
func sayOnce(c *http.Client, url, body string) error {
	answer, err := c.Post(url+"/heartbeat", "application/json", strings.NewReader(body))
	if err != nil {
		return err
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return answer.Body.Close()
}
