package suite

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"module-controller/e2e/world"
)

// front is what stands before a broker and speaks TLS. It can show another certificate, and
// refuse whoever connects, as a broker does that does not know a user.
type front struct {
	net.Listener
	to string

	mu sync.Mutex
	// mu guards what follows
	cert    tls.Certificate
	refuses bool
	open    map[net.Conn]bool
}

// newFront makes one before the World's broker, and gives the file with its authority.
func newFront(w *world.World) (f *front, authority string) {
	w.Helper()
	f = &front{to: w.BrokerAddress(), open: map[net.Conn]bool{}}
	f.cert, authority = certify(w, "right")
	plain, err := (&net.ListenConfig{}).Listen(w.Context(), "tcp", "127.0.0.1:0")
	w.Must(err)
	l := tls.NewListener(plain, &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		f.mu.Lock()
		defer f.mu.Unlock()
		cert := f.cert
		return &cert, nil
	}})
	f.Listener = l
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { f.serve(w.Context(), conn) })
		}
	})
	w.Cleanup(func() {
		_ = l.Close()
		f.become(func() {})
		serving.Wait()
	})
	return f, authority
}

// become changes the front, and closes what is open.
func (f *front) become(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
	for conn := range f.open {
		_ = conn.Close()
	}
}

// notAuthorized is what a broker answers whom it refuses: MQTT 3.1.1, 3.2.2.3.
var notAuthorized = []byte{0x20, 2, 0, 5}

func (f *front) serve(ctx context.Context, conn net.Conn) {
	defer func() { _ = conn.Close() }()
	f.mu.Lock()
	refuses := f.refuses
	f.open[conn] = true
	f.mu.Unlock()
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.open, conn)
	}()
	if refuses {
		if _, err := conn.Read(make([]byte, 1024)); err == nil { // its CONNECT
			_, _ = conn.Write(notAuthorized)
		}
		return
	}
	broker, err := (&net.Dialer{}).DialContext(ctx, "tcp", f.to)
	if err != nil {
		return
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_, _ = io.Copy(broker, conn)
		_ = broker.Close()
	}()
	_, _ = io.Copy(conn, broker)
	_ = conn.Close()
	<-done
}

// certify makes a certificate for 127.0.0.1 that is its own authority, and gives its file.
func certify(w *world.World, name string) (cert tls.Certificate, file string) {
	w.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	w.Must(err)
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	w.Must(err)
	file = filepath.Join(w.Dir, name+".pem")
	w.Must(os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), 0o600))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}
