package httptunnel

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
)

// authority signs certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	a := &authority{}
	a.cert, a.key = a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "authority"}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign})
	return a
}

// sign makes a certificate and its key; an authority without a certificate signs itself.
func (a *authority) sign(t *testing.T, template *x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.SerialNumber, template.NotBefore = big.NewInt(time.Now().UnixNano()), time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(time.Hour)
	}
	parent, signer := a.cert, a.key
	if parent == nil {
		parent, signer = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return cert, key
}

func (a *authority) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: a.cert.Raw}))
}

// write makes a certificate of a listener on 127.0.0.1 and writes it and its key.
func (a *authority) write(t *testing.T, cert, key string) {
	t.Helper()
	c, k := a.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "listener"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}})
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	put(t, cert, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: c.Raw})))
	put(t, key, string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})))
}

// client trusts an authority and shows a certificate of another for a name, or none.
func client(t *testing.T, trusts, signs *authority, name string) *http.Client {
	t.Helper()
	cfg := &tls.Config{RootCAs: x509.NewCertPool()}
	cfg.RootCAs.AddCert(trusts.cert)
	if signs != nil {
		c, k := signs.sign(t, &x509.Certificate{Subject: pkix.Name{CommonName: "base"}, DNSNames: []string{name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
		cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{c.Raw}, PrivateKey: k}}
	}
	transport := &http.Transport{TLSClientConfig: cfg}
	t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

// A base that shows a certificate is what the certificate says, and nobody else.
func TestACertificateSaysWhoABaseIs(t *testing.T) {
	ours, theirs, dir := newAuthority(t), newAuthority(t), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	ours.write(t, file("cert"), file("key"))
	put(t, file("ca"), ours.pem())
	_, s, url := start(t, func(c *Config) {
		c.Auth, c.CertFile, c.KeyFile, c.ClientCAFile = AuthCertificate, file("cert"), file("key"), file("ca")
		c.Timeout, c.InstallTimeout = time.Minute, time.Minute // a handshake may take long on a busy machine
	})
	url = strings.Replace(url, "http:", "https:", 1)
	body := beat("orders-1", "127.0.0.11", 1238)
	if got := say(t, client(t, ours, ours, "orders-1"), url, body); got != http.StatusOK {
		t.Errorf("the base itself: %d", got)
	}
	if got := say(t, client(t, ours, ours, "orders-2"), url, body); got != http.StatusForbidden {
		t.Errorf("another base: %d", got)
	}
	if got := say(t, client(t, ours, nil, ""), url, body); got != http.StatusUnauthorized {
		t.Errorf("without a certificate: %d", got)
	}
	if answer, err := client(t, ours, theirs, "orders-1").Post(url+"/heartbeat", "application/json", strings.NewReader(body)); err == nil {
		_ = answer.Body.Close()
		t.Errorf("with a stranger's certificate: %s", answer.Status)
	}
	if answer, err := http.Get(strings.Replace(url, "https:", "http:", 1)); err == nil {
		_ = answer.Body.Close()
		if answer.StatusCode != http.StatusBadRequest {
			t.Errorf("without TLS: %s", answer.Status)
		}
	}
	if beats := s.Recorded().Beats; len(beats) != 1 || beats[0].Sender != (tunnel.Sender{Bound: true}) {
		t.Errorf("heard %+v", beats)
	}
}

// An identity with a certificate speaks no more often than others, and those of one address
// are as many as the authority has.
func TestACertificateSpeaksNoMoreOftenThanOthers(t *testing.T) {
	ours, dir := newAuthority(t), t.TempDir()
	file := func(name string) string { return filepath.Join(dir, name) }
	ours.write(t, file("cert"), file("key"))
	put(t, file("ca"), ours.pem())
	cfg := Config{Auth: AuthCertificate, Env: "dev", CertFile: file("cert"), KeyFile: file("key"), ClientCAFile: file("ca"), MaxIdentities: 1, NewIdentities: 1}
	tun, err := New(cfg, zap.NewNop(), &counts{})
	if err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) { // time stands still
		says := func(identity string) *refusal {
			r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/heartbeat", strings.NewReader(beat(identity, "10.1.2.3", 1238)))
			cert := &x509.Certificate{Subject: pkix.Name{CommonName: identity}, NotAfter: time.Now().Add(time.Hour)}
			r.TLS = &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}
			_, no := tun.admit(r)
			return no
		}
		for i := range 2 * beatsBurst {
			no := says("orders-1")
			if refused := no != nil; refused != (i >= beatsBurst) || refused && no.reason != "too_often" {
				t.Fatalf("heartbeat %d: %+v", i, no)
			}
		}
		for i := range 100 {
			if no := says(fmt.Sprint("orders-", i+2)); no != nil {
				t.Errorf("another base at its address: %+v", no)
			}
		}
	})
}

// Files that have changed are read again; while they cannot be, the old ones hold.
func TestCertificatesAreReadAgain(t *testing.T) {
	before, after, dir := newAuthority(t), newAuthority(t), t.TempDir()
	c := &certificates{cert: filepath.Join(dir, "cert"), key: filepath.Join(dir, "key"), ca: filepath.Join(dir, "ca"), log: zap.NewNop()}
	if _, err := c.current(); err == nil {
		t.Error("no files, and no error")
	}
	signer := func() string {
		t.Helper()
		now, err := c.current()
		if err != nil {
			t.Fatal(err)
		}
		cert, err := x509.ParseCertificate(now.Certificates[0].Certificate[0])
		if err != nil {
			t.Fatal(err)
		}
		for name, a := range map[string]*authority{"before": before, "after": after} {
			if cert.CheckSignatureFrom(a.cert) == nil {
				return name
			}
		}
		return "nobody"
	}
	before.write(t, c.cert, c.key)
	put(t, c.ca, before.pem())
	if got := signer(); got != "before" {
		t.Errorf("at first: %s", got)
	}
	put(t, c.cert, "half")
	if got := signer(); got != "before" {
		t.Errorf("while the file is half: %s", got)
	}
	after.write(t, c.cert, c.key)
	touch := time.Now().Add(time.Minute) // a file system's clock may be coarse
	if err := os.Chtimes(c.cert, touch, touch); err != nil {
		t.Fatal(err)
	}
	if got := signer(); got != "after" {
		t.Errorf("then: %s", got)
	}
}

// A connection that outlives its certificate proves nothing any more.
func TestAnExpiredCertificateProvesNothing(t *testing.T) {
	cert, _ := newAuthority(t).sign(t, &x509.Certificate{DNSNames: []string{"b"}, NotAfter: time.Now().Add(-time.Second)})
	r := &http.Request{RemoteAddr: "127.0.0.1:1", TLS: &tls.ConnectionState{VerifiedChains: [][]*x509.Certificate{{cert}}}}
	if e := evidenceOf(r, ""); len(e.names) != 0 {
		t.Errorf("it proves %q", e.names)
	}
}

func TestSettingsThatDoNotGoTogether(t *testing.T) {
	good := Config{Env: "dev"}
	if err := good.Complete().Validate(); err != nil {
		t.Errorf("the defaults: %v", err)
	}
	for want, change := range map[string]func(*Config){
		"must be one of":            func(c *Config) { c.Auth = "none" },
		"HTTP_TUNNEL_ALLOWED_CIDRS": func(c *Config) { c.Auth = AuthAddress },
		"HTTP_TUNNEL_CLIENT_CA_PATH": func(c *Config) {
			c.Auth = AuthCertificate
		},
		"belong together":             func(c *Config) { c.CertFile = "/nowhere" },
		"needs HTTP_TUNNEL_CERT_PATH": func(c *Config) { c.ClientCAFile = "/nowhere" },
		"no such file":                func(c *Config) { c.CertFile, c.KeyFile = "/nowhere", "/nowhere" },
		"must be positive":            func(c *Config) { c.MaxIdentities = -1 },
		"connections from one":        func(c *Config) { c.ConnectionsEach = 5000 },
	} {
		c := good
		change(&c)
		if err := c.Complete().Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
}
