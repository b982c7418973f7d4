package mqtttunnel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"module-controller/tunnel/tunneltest"
)

// certify makes a certificate for 127.0.0.1 that is its own authority, and gives the
// file in which it stands too.
func certify(t *testing.T, name string) (cert tls.Certificate, file string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), name+".pem")
	put(t, file, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func put(t *testing.T, file string, text []byte) {
	t.Helper()
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// The authority and the password are read at each connect: a wrong one is put right
// without a restart.
func TestTheBrokerIsVerifiedAndTheFilesAreReadAgain(t *testing.T) {
	broker := newBroker(t)
	cert, right := certify(t, "broker")
	_, wrong := certify(t, "somebody")
	broker.Secure(&tls.Config{Certificates: []tls.Certificate{cert}})
	refused := make(chan string, 100)
	broker.Admit(func(user, password string) bool {
		if user == "mc" && password == "right" {
			return true
		}
		refused <- password
		return false
	})
	if err := broker.Restart(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	authority, password := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "password")
	text, err := os.ReadFile(wrong)
	if err != nil {
		t.Fatal(err)
	}
	put(t, authority, text)
	put(t, password, []byte("wrong\n"))
	tun, sink := startOn(t, broker.Address(), func(c *Config) {
		c.CAFile, c.Username, c.PasswordFile = authority, "mc", password
	})
	if _, err := tun.dial(t.Context(), sink); err == nil {
		t.Fatal("a broker with a stranger's certificate was trusted")
	}
	if text, err = os.ReadFile(right); err != nil {
		t.Fatal(err)
	}
	put(t, authority, text)
	if got := <-refused; got != "wrong" {
		t.Errorf("the broker was shown %q", got)
	}
	if sink.Recorded().Up() {
		t.Error("the link is up with a wrong password")
	}
	put(t, password, []byte("right\n"))
	tunneltest.Await(t, "link up", func() bool { return sink.Recorded().Up() })
}

// A login that may change is asked for at each connect.
func TestALoginMayChange(t *testing.T) {
	broker := newBroker(t)
	refused := make(chan string, 100)
	broker.Admit(func(user, password string) bool {
		if user == "new" && password == "right" {
			return true
		}
		refused <- user + " " + password
		return false
	})
	if err := broker.Restart(); err != nil {
		t.Fatal(err)
	}
	var login atomic.Pointer[Login]
	login.Store(&Login{Username: "old", Password: "wrong"})
	_, sink := startOn(t, broker.Address(), func(c *Config) {
		c.Username, c.Password = "configured", "wrong too"
		c.Login = func() Login { return *login.Load() }
	})
	if got := <-refused; got != "old wrong" {
		t.Errorf("the broker was shown %q", got)
	}
	login.Store(&Login{Username: "new", Password: "right"})
	tunneltest.Await(t, "link up", func() bool { return sink.Recorded().Up() })
}
