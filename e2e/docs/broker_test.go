package docs

import (
	"context"
	"crypto/tls"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"module-controller/e2e/harness"
	"module-controller/e2e/process"
)

// brokerName is the broker's in the pages.
const brokerName = "broker.example.com"

// broker speaks TLS with replicas, as the pages have it. Bases reach it without.
type broker struct {
	host, port string
	behind     string // where it listens without TLS

	listener net.Listener
	work     sync.WaitGroup

	mu    sync.Mutex // mu guards what follows
	conns []net.Conn // nil when it is closed
}

// startBroker starts a broker, and writes what the pages make a Secret of into the checkout:
// the CA of its certificate, and a password.
func startBroker(ctx context.Context, m *machine) *broker {
	m.Helper()
	port, err := process.FreePort()
	m.must(err)
	p, err := harness.StartBroker(ctx, harness.Embedded, m.sim, port, m.files)
	m.must(err)
	m.Cleanup(func() { m.must(p.Kill()) })

	// Its certificate is its own authority, and names 127.0.0.1.
	example := httptest.NewTLSServer(nil)
	example.Close()
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: example.Certificate().Raw})
	m.must(errors.Join(
		os.WriteFile(filepath.Join(m.checkout, "ca.crt"), ca, 0o600),
		os.WriteFile(filepath.Join(m.checkout, "password"), []byte("secret"), 0o600),
	))
	b := &broker{behind: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), conns: []net.Conn{}}
	b.listener, err = tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: example.TLS.Certificates, MinVersion: tls.VersionTLS12})
	m.must(err)
	b.host, b.port, err = net.SplitHostPort(b.listener.Addr().String())
	m.must(err)
	b.work.Go(b.accept)
	m.Cleanup(b.close)
	return b
}

func (b *broker) accept() {
	for {
		conn, err := b.listener.Accept()
		if err != nil {
			return // closed
		}
		b.work.Go(func() { b.serve(conn) })
	}
}

// serve passes a connection on until one end closes it.
func (b *broker) serve(conn net.Conn) {
	behind, err := net.Dial("tcp", b.behind)
	if err != nil || !b.keep(conn, behind) {
		_ = conn.Close()
		return
	}
	end := func() { _, _ = conn.Close(), behind.Close() }
	b.work.Go(func() {
		defer end()
		_, _ = io.Copy(behind, conn)
	})
	defer end()
	_, _ = io.Copy(conn, behind)
}

// keep notes connections to be closed with the broker. It says no when that is.
func (b *broker) keep(conns ...net.Conn) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.conns == nil {
		for _, c := range conns {
			_ = c.Close()
		}
		return false
	}
	b.conns = append(b.conns, conns...)
	return true
}

func (b *broker) close() {
	_ = b.listener.Close()
	b.mu.Lock()
	for _, c := range b.conns {
		_ = c.Close()
	}
	b.conns = nil
	b.mu.Unlock()
	b.work.Wait()
}
