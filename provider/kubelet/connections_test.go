package kubelet

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"module-controller/internal/connlimit"
)

// Strangers of one address have few connections, fewer once half of all are open, and nobody
// one beyond all.
func TestHowManyConnectionsThereMayBe(t *testing.T) {
	for _, c := range []struct {
		strangers, open int
		want            connlimit.Reason
	}{
		{0, 0, 0}, {31, 255, 0}, {32, 255, connlimit.TooManyOfOne},
		{7, 256, 0}, {8, 256, connlimit.TooManyOfOne},
		{7, 511, 0}, {8, 511, connlimit.TooManyOfOne},
		{0, 512, connlimit.TooMany}, {32, 512, connlimit.TooMany},
	} {
		if got := limits.Refuses(c.strangers, c.open); got != c.want {
			t.Errorf("one more for an address with %d strangers, of %d: %d, want %d", c.strangers, c.open, got, c.want)
		}
	}
}

// visit is a connection of nobody, and a listener to which it comes.
type visit struct {
	net.Conn
	net.Listener
	from netip.Addr
}

func (v *visit) Accept() (net.Conn, error) { return v, nil }
func (v *visit) Close() error              { return nil }

func (v *visit) RemoteAddr() net.Addr {
	return net.TCPAddrFromAddrPort(netip.AddrPortFrom(v.from, 1))
}

// enters connects to a Server from an address that may have one more.
func (w *world) enters(t *testing.T, from netip.Addr) net.Conn {
	t.Helper()
	open, strangers := w.connections.Open(), w.connections.Of(from)
	if reason := limits.Refuses(strangers, open); reason != 0 {
		t.Fatalf("nobody more comes in from %s: %d", from, reason)
	}
	c, err := w.connections.Listen(&visit{from: from}).Accept()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// running is a world whose Server runs until the test ends, with what its log is told.
func running(t *testing.T) (w *world, at string, told *observer.ObservedLogs) {
	t.Helper()
	w = newWorld(t)
	w.users["known"], w.users["powerless"] = user{[]string{"get proxy"}}, user{}
	core, told := observer.New(zapcore.WarnLevel)
	port := freePort(t)
	w.serves(port, 1, zap.New(core))
	at, end := runs(t, w.Server, port)
	t.Cleanup(func() {
		if err := end(); err != nil {
			t.Error(err)
		}
	})
	return w, at, told
}

// dialFrom connects from an address.
func dialFrom(t *testing.T, from, at string) net.Conn {
	t.Helper()
	c, err := (&net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}).DialContext(t.Context(), "tcp", at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// client is one connection by TLS.
type client struct {
	conn *tls.Conn
	read *bufio.Reader
}

func clientFrom(t *testing.T, from, at string) client {
	t.Helper()
	c := tls.Client(dialFrom(t, from, at), &tls.Config{InsecureSkipVerify: true})
	return client{c, bufio.NewReader(c)}
}

// asks sends a request, headers are after its first line, and gives the answer's status.
func (c client) asks(t *testing.T, line string, headers ...string) int {
	t.Helper()
	if err := c.conn.SetDeadline(time.Now().Add(2 * headerTimeout)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(c.conn, line+" HTTP/1.1\r\nHost: h\r\n"+strings.Join(append(headers, "\r\n"), "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(c.read, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode
}

// closedWithin says whether the other end closes a connection, which says nothing, in time.
func closedWithin(t *testing.T, c net.Conn, time time.Time) bool {
	t.Helper()
	if err := c.SetReadDeadline(time); err != nil {
		t.Fatal(err)
	}
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// Connections on which nobody is admitted, of one address, keep nobody out who comes from
// another, and one too many is closed at once and told.
func TestStrangersKeepNobodyOut(t *testing.T) {
	_, at, told := running(t)
	for range maxStrangers {
		dialFrom(t, "127.0.0.21", at)
	}
	if !closedWithin(t, dialFrom(t, "127.0.0.21", at), time.Now().Add(headerTimeout/2)) {
		t.Error("one too many is open")
	}
	if status := clientFrom(t, "127.0.0.22", at).asks(t, "GET /pods", "Authorization: Bearer "+tokenOf("known")); status != http.StatusOK {
		t.Errorf("from another address: %d", status)
	}
	lines := told.FilterMessage("closing a connection to a VNode's kubelet API at once").All()
	if len(lines) != 1 || lines[0].ContextMap()["reason"] != tooManyStrangers || lines[0].ContextMap()["from"] != "127.0.0.21" {
		t.Errorf("told is %v", lines)
	}
}

// Who was admitted on a connection may have more of them, and keeps them.
func TestWhoIsAdmittedIsNoStranger(t *testing.T) {
	_, at, _ := running(t)
	var all []client
	for range maxStrangers + 8 {
		all = append(all, clientFrom(t, "127.0.0.21", at))
		if status := all[len(all)-1].asks(t, "GET /pods", "Authorization: Bearer "+tokenOf("known")); status != http.StatusOK {
			t.Fatalf("on connection %d: %d", len(all), status)
		}
	}
	for _, c := range all {
		if status := c.asks(t, "GET /pods", "Authorization: Bearer "+tokenOf("known")); status != http.StatusOK {
			t.Errorf("again: %d", status)
		}
	}
}

// A request that is refused ends its connection, also where the rest of it does not come.
func TestARefusedRequestEndsItsConnection(t *testing.T) {
	for name, c := range map[string]struct {
		line    string
		headers []string
		gone    bool // no Node has the port
		want    int
	}{
		"nobody":               {"GET /pods", nil, false, http.StatusUnauthorized},
		"half a request":       {"POST /exec/orders/stock/stock", []string{"Content-Length: 100"}, false, http.StatusUnauthorized},
		"an unknown token":     {"GET /pods", []string{"Authorization: Bearer " + tokenOf("unknown")}, false, http.StatusUnauthorized},
		"who has no rights":    {"GET /pods", []string{"Authorization: Bearer " + tokenOf("powerless")}, false, http.StatusForbidden},
		"half an admitted one": {"GET /pods", []string{"Authorization: Bearer " + tokenOf("known"), "Content-Length: 100"}, false, http.StatusBadRequest},
		"a body without end":   {"GET /pods", []string{"Authorization: Bearer " + tokenOf("known"), "Transfer-Encoding: chunked"}, false, http.StatusBadRequest},
		"no Node":              {"GET /pods", []string{"Authorization: Bearer " + tokenOf("known")}, true, http.StatusServiceUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			w, at, _ := running(t)
			if c.gone {
				w.ports.Forget(shopNode)
			}
			asks := clientFrom(t, "127.0.0.21", at)
			if status := asks.asks(t, c.line, c.headers...); status != c.want {
				t.Errorf("it is answered %d, want %d", status, c.want)
			}
			if !closedWithin(t, asks.conn, time.Now().Add(headerTimeout)) {
				t.Error("its connection is open")
			}
		})
	}
}
