package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes/fake"
	certutil "k8s.io/client-go/util/cert"

	_ "module-controller/internal/oneproc"
)

// OpenCensus, which virtual-kubelet imports, begins a goroutine when the program does.
func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"))
}

// freePort finds a loopback port.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port
}

// start runs a Server at one port until the test ends.
func start(t *testing.T, cfg Config) (at string, end func() error) {
	t.Helper()
	port := freePort(t)
	s := New(cfg, Deps{Bases: &bases{}, Ports: NewPorts(netip.MustParseAddr("127.0.0.1"), port, 1), Client: fake.NewClientset(), Log: zap.NewNop()})
	return runs(t, s, port)
}

// runs runs a Server whose first port is given, until the test ends or end is called.
func runs(t *testing.T, s *Server, port int) (at string, end func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	at = net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
	for end := time.Now().Add(10 * time.Second); ; {
		c, err := net.Dial("tcp", at)
		if err == nil {
			c.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
	return at, func() error {
		cancel()
		return <-ended
	}
}

// served gives the certificate that is served at an address.
func served(t *testing.T, at string) *x509.Certificate {
	t.Helper()
	c, err := tls.Dial("tcp", at, &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	return c.ConnectionState().PeerCertificates[0]
}

// Files of a certificate are read at each connect, so they can be replaced.
func TestTheServedCertificateIsReplaced(t *testing.T) {
	dir := t.TempDir()
	cfg := Config{CertFile: filepath.Join(dir, "tls.crt"), KeyFile: filepath.Join(dir, "tls.key")}
	write := func() {
		cert, key, err := certutil.GenerateSelfSignedCertKey("127.0.0.1", nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		for path, text := range map[string][]byte{cfg.CertFile: cert, cfg.KeyFile: key} {
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	write()
	at, end := start(t, cfg)
	first := served(t, at)
	write()
	if second := served(t, at); second.Equal(first) {
		t.Error("the old one is served")
	}
	if err := end(); err != nil {
		t.Error(err)
	}
}

// Where no files are given one is served that is good for the address, and another one long
// before it ends.
func TestACertificateIsMadeAnew(t *testing.T) {
	at, end := start(t, Config{})
	cert := served(t, at)
	if err := cert.VerifyHostname("127.0.0.1"); err != nil {
		t.Error(err)
	}
	if err := end(); err != nil {
		t.Error(err)
	}
	synctest.Test(t, func(t *testing.T) {
		c := &certificate{host: "127.0.0.1"}
		get := func() *tls.Certificate {
			made, err := c.get(nil)
			if err != nil {
				t.Fatal(err)
			}
			return made
		}
		first := get()
		time.Sleep(rotateAfter)
		if get() != first {
			t.Error("it is made anew early")
		}
		time.Sleep(time.Second)
		if again := get(); again == first || time.Until(again.Leaf.NotAfter) < 2*rotateAfter {
			t.Error("it is not made anew")
		}
	})
}

// A port that is taken ends it with an error that names the port.
func TestATakenPort(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := New(Config{}, Deps{Bases: &bases{}, Ports: NewPorts(netip.MustParseAddr("127.0.0.1"), l.Addr().(*net.TCPAddr).Port, 1), Client: fake.NewClientset(), Log: zap.NewNop()})
	if err := s.Run(t.Context()); err == nil {
		t.Error("it runs")
	}
}

// deadlines is a writer that keeps until when it may be written to.
type deadlines struct {
	*httptest.ResponseRecorder
	at time.Time
}

func (d *deadlines) SetWriteDeadline(at time.Time) error {
	d.at = at
	return nil
}

// An answer takes no longer than it may, also where nobody reads it; a log may be followed.
func TestAnswersEnd(t *testing.T) {
	w := newWorld(t, shopPod(""))
	w.users["known"] = user{[]string{"get proxy", "get stats"}}
	for path, ends := range map[string]bool{"/pods": true, "/stats/summary": true, "/containerLogs/orders/stock/stock": false} {
		to := &deadlines{ResponseRecorder: httptest.NewRecorder()}
		w.ServeHTTP(to, requestOf(10250, http.MethodGet, path, tokenOf("known")))
		left := time.Until(to.at)
		if to.Code != http.StatusOK || to.at.IsZero() == ends || ends && (left <= 0 || left > answerTimeout) {
			t.Errorf("%s: %d, and it ends in %s", path, to.Code, left)
		}
	}
}
