package httptunnel

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"net/http"
	"time"
)

// Key is what one session of a replica proves itself with to its peers. It is made
// anew for each session and never leaves the process; peers know its Fingerprint from
// the session's membership Lease. No authority signs it, and no secret is sent.
type Key struct {
	// Fingerprint is the SHA-256 of the public key (its SubjectPublicKeyInfo), in hex.
	Fingerprint string
	certificate tls.Certificate
}

// NewKey makes a Key.
func NewKey() (*Key, error) {
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make peer key: %w", err)
	}
	// Peers look at the public key alone. The rest is what TLS demands of a certificate;
	// a clock that is wrong must not cut replicas off from each other.
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Unix(0, 0), NotAfter: time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, public, private)
	if err != nil {
		return nil, fmt.Errorf("make peer certificate: %w", err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make peer certificate: %w", err)
	}
	return &Key{Fingerprint: fingerprint(leaf), certificate: tls.Certificate{Certificate: [][]byte{der}, PrivateKey: private, Leaf: leaf}}, nil
}

func fingerprint(c *x509.Certificate) string {
	sum := sha256.Sum256(c.RawSubjectPublicKeyInfo)
	return hex.EncodeToString(sum[:])
}

var errNotAPeer = errors.New("the certificate is of no member's key")

// tls gives the configuration of a connection to peers whose keys are known. Whoever is
// at the other end has proved its key before a byte of ours is sent.
func (k *Key) tls(known func(fingerprint string) bool) *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS13, Certificates: []tls.Certificate{k.certificate}, ClientAuth: tls.RequireAnyClientCert,
		InsecureSkipVerify: true, //nolint:gosec // no authority signed it: VerifyConnection compares its key instead
		VerifyConnection: func(s tls.ConnectionState) error {
			if len(s.PeerCertificates) == 0 || !known(fingerprint(s.PeerCertificates[0])) {
				return errNotAPeer
			}
			return nil
		},
	}
}

// client makes a client for one peer, and for whoever has its key alone.
func (k *Key) client(to Peer) *http.Client {
	return &http.Client{
		Timeout: peerTimeout, CheckRedirect: noRedirect,
		Transport: &http.Transport{
			Proxy: nil, MaxIdleConnsPerHost: 1, IdleConnTimeout: outboxIdle, MaxResponseHeaderBytes: maxHeader,
			TLSClientConfig: k.tls(func(fingerprint string) bool { return fingerprint == to.Fingerprint }),
		},
	}
}
