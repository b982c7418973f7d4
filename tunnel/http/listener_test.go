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

	"module-controller/internal/connlimit"
	"module-controller/tunnel/tunneltest"
)

func TestHowManyMayConnect(t *testing.T) {
	const all = 4096
	for _, c := range []struct {
		has, open int
		want      connlimit.Reason
	}{
		{0, 0, 0}, {63, 63, 0}, {64, 64, connlimit.TooManyOfOne},
		{7, all / 2, 0}, {8, all / 2, connlimit.TooManyOfOne},
		{0, all - all/4, 0}, {1, all - all/4, connlimit.TooManyOfOne},
		{0, all - 1, 0}, {0, all, connlimit.TooMany},
	} {
		if got := (limits{all, 64}).steps().Refuses(c.has, c.open); got != c.want {
			t.Errorf("one more for who has %d of %d: %d, want %d", c.has, c.open, got, c.want)
		}
	}
	for all := 1; all < 20; all++ { // however few there are, the last is for whoever has none
		if (limits{all, 1}).steps().Refuses(0, all-1) != 0 {
			t.Errorf("of %d the last is refused", all)
		}
	}
}

// Thousands of connections from a few addresses leave room for others.
func TestFewAddressesLeaveConnectionsToOthers(t *testing.T) {
	open, may := 0, limits{4096, 64}.steps()
	for range 63 {
		for has := 0; may.Refuses(has, open) == 0; has++ {
			open++
		}
	}
	if may.Refuses(0, open) != 0 {
		t.Errorf("63 addresses have %d of %d", open, may.All)
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
// one heartbeat to the next where it may: half of those that there may be are kept at most.
func TestMoreBasesThanConnectionsAreHeard(t *testing.T) {
	const most, bases = 16, 64
	_, s, url := start(t, func(c *Config) {
		c.Timeout, c.InstallTimeout = time.Minute, time.Minute
		c.MaxConnections, c.ConnectionsEach = most, 4
	})
	kept := 0
	for i := range bases {
		c, body := from(t, fmt.Sprintf("127.0.0.%d", 30+i)), beat(fmt.Sprint("b", i), "127.0.0.1", 1)
		var keeps bool
		tunneltest.Await(t, fmt.Sprint("base ", i), func() (heard bool) {
			keeps, heard = sayOnce(c, url, body)
			return heard
		})
		if keeps {
			kept++
		}
		if kept > most/2 { // later ones would wait until these are idle for too long
			t.Fatalf("%d keep their connections", kept)
		}
	}
	heard := map[string]bool{}
	for _, h := range s.Recorded().Beats {
		heard[h.Base.Identity] = true
	}
	if len(heard) != bases {
		t.Errorf("%d of %d were heard", len(heard), bases)
	}
}

// sayOnce posts a heartbeat whose connection may be refused: it was not heard then. It gives
// whether the connection is kept after the answer.
func sayOnce(c *http.Client, url, body string) (keeps, heard bool) {
	answer, err := c.Post(url+"/heartbeat", "application/json", strings.NewReader(body))
	if err != nil {
		return false, false
	}
	_, _ = io.Copy(io.Discard, answer.Body)
	return !answer.Close, answer.Body.Close() == nil
}
