package controlplane

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// An authority signs the certificates of one control plane.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

// A pair is a certificate and its key, in PEM.
type pair struct{ cert, key []byte }

// newAuthority makes one that nobody signed.
func newAuthority(name string) (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("make the authority's key: %w", err)
	}
	template := certificate(pkix.Name{CommonName: name})
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, fmt.Errorf("make the authority's certificate: %w", err)
	}
	return &authority{cert: cert, key: key, pem: encode("CERTIFICATE", der)}, nil
}

// certificate is what all certificates have in common: a number of 127 bits that no
// other has, and is valid from an hour ago (clocks differ) for a year.
func certificate(subject pkix.Name) *x509.Certificate {
	number := make([]byte, 16)
	_, _ = rand.Read(number) // never fails
	number[0] &= 0x7f
	return &x509.Certificate{
		SerialNumber: new(big.Int).SetBytes(number),
		Subject:      subject,
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().AddDate(1, 0, 0),
		KeyUsage:     x509.KeyUsageDigitalSignature,
	}
}

// server makes a certificate for a server at the addresses and names.
func (a *authority) server(ips []net.IP, names ...string) (pair, error) {
	template := certificate(pkix.Name{CommonName: names[0]})
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	template.IPAddresses, template.DNSNames = ips, names
	return a.sign(template)
}

// client makes a certificate by which the API server knows a user of a group.
func (a *authority) client(user string, groups ...string) (pair, error) {
	template := certificate(pkix.Name{CommonName: user, Organization: groups})
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	return a.sign(template)
}

func (a *authority) sign(template *x509.Certificate) (pair, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return pair{}, fmt.Errorf("make the key of %s: %w", template.Subject, err)
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		return pair{}, fmt.Errorf("make the certificate of %s: %w", template.Subject, err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return pair{}, fmt.Errorf("encode the key of %s: %w", template.Subject, err)
	}
	return pair{cert: encode("CERTIFICATE", der), key: encode("EC PRIVATE KEY", keyDER)}, nil
}

func encode(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

// files are the certificates and keys that components read.
type files struct {
	ca, serverCert, serverKey, accountsKey, kubeletCert, kubeletKey string
	// The authority of the front proxy, and the certificate with which the API server passes
	// requests on to servers of other APIs.
	frontProxyCA, frontProxyCert, frontProxyKey string
}

// The files of the certificate with which the API server asks kubelets.
const kubeletCertFile, kubeletKeyFile = "kubelet-client.crt", "kubelet-client.key"

// write makes the server's certificate, those of the API server as a client, and the key that
// signs the tokens of service accounts, and writes them to dir.
func (a *authority) write(dir string, ips []net.IP, names ...string) (files, error) {
	server, err := a.server(ips, names...)
	if err != nil {
		return files{}, err
	}
	// The API server signs tokens with this key and finds the public half, by which
	// it checks them, in the same file.
	accounts, err := a.client("service-accounts")
	if err != nil {
		return files{}, err
	}
	kubelets, err := a.client(kubeletClient)
	if err != nil {
		return files{}, err
	}
	// An authority of its own: whom it signs for may say that he is anybody.
	front, err := newAuthority("e2e-front-proxy")
	if err != nil {
		return files{}, err
	}
	proxy, err := front.client(frontProxyClient)
	if err != nil {
		return files{}, err
	}
	f := files{
		ca:          filepath.Join(dir, "ca.crt"),
		serverCert:  filepath.Join(dir, "server.crt"),
		serverKey:   filepath.Join(dir, "server.key"),
		accountsKey: filepath.Join(dir, "service-accounts.key"),
		kubeletCert: filepath.Join(dir, kubeletCertFile),
		kubeletKey:  filepath.Join(dir, kubeletKeyFile),

		frontProxyCA:   filepath.Join(dir, "front-proxy-ca.crt"),
		frontProxyCert: filepath.Join(dir, "front-proxy-client.crt"),
		frontProxyKey:  filepath.Join(dir, "front-proxy-client.key"),
	}
	for path, content := range map[string][]byte{
		f.ca: a.pem, f.serverCert: server.cert, f.serverKey: server.key, f.accountsKey: accounts.key,
		f.kubeletCert: kubelets.cert, f.kubeletKey: kubelets.key,
		f.frontProxyCA: front.pem, f.frontProxyCert: proxy.cert, f.frontProxyKey: proxy.key,
	} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			return files{}, fmt.Errorf("write certificates: %w", err)
		}
	}
	return f, nil
}

// ServerCertificate writes a certificate for a server at an IP address, which the authority
// that kubeconfigs name signed, and its key. The files end with Stop.
func (c *ControlPlane) ServerCertificate(name string, ip net.IP) (certFile, keyFile string, err error) {
	p, err := c.authority.server([]net.IP{ip}, name)
	if err != nil {
		return "", "", err
	}
	certFile, keyFile = filepath.Join(c.dir, name+".crt"), filepath.Join(c.dir, name+".key")
	if err := errors.Join(os.WriteFile(certFile, p.cert, 0o600), os.WriteFile(keyFile, p.key, 0o600)); err != nil {
		return "", "", fmt.Errorf("write the certificate of %s: %w", name, err)
	}
	return certFile, keyFile, nil
}
