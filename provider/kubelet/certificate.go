package kubelet

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	certutil "k8s.io/client-go/util/cert"
)

// certificate is the one that is served.
type certificate struct {
	// certFile and keyFile are read at each connect, so they can be replaced; empty for one
	// that is made here.
	certFile, keyFile string
	host              string

	mu sync.Mutex
	// mu guards what follows
	made  *tls.Certificate
	until time.Time
}

// rotateAfter is when a certificate is made anew that nobody signed. It is good for a year.
const rotateAfter = 30 * 24 * time.Hour

// get gives the certificate to serve now.
func (c *certificate) get(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	if c.certFile != "" {
		pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
		return &pair, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if now := time.Now(); c.made == nil || now.After(c.until) {
		made, err := selfSigned(c.host)
		if err != nil {
			return nil, err
		}
		c.made, c.until = made, now.Add(rotateAfter)
	}
	return c.made, nil
}

// selfSigned makes a certificate that nobody signed, as a kubelet does that has none.
func selfSigned(host string) (*tls.Certificate, error) {
	cert, key, err := certutil.GenerateSelfSignedCertKey(host, []net.IP{net.ParseIP(host)}, nil)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		return nil, fmt.Errorf("make a certificate: %w", err)
	}
	return &pair, nil
}

// authorities are those that sign client certificates, that of the API server among them.
type authorities struct {
	file   string // empty: the cluster's
	client kubernetes.Interface
	log    *zap.Logger

	known atomic.Pointer[x509.CertPool]
}

// Where an API server tells who signs the certificates of its clients, for programs like this.
const (
	clientCANamespace = metav1.NamespaceSystem
	clientCAConfigMap = "extension-apiserver-authentication"
	clientCAKey       = "client-ca-file"
)

const (
	// authoritiesEvery is how often they are read, and authoritiesRetry while none is known.
	authoritiesEvery, authoritiesRetry = time.Minute, 2 * time.Second
	authoritiesTimeout                 = 10 * time.Second
)

// pool gives those that were read last; nil for none. It returns at once.
func (a *authorities) pool() *x509.CertPool { return a.known.Load() }

// run reads them until ctx ends. What cannot be read leaves those that are known in place.
func (a *authorities) run(ctx context.Context) {
	for told := ""; ctx.Err() == nil; {
		again := authoritiesEvery
		err := a.read(ctx)
		switch {
		case err == nil:
			told = ""
		case ctx.Err() != nil:
			return
		case err.Error() != told:
			told = err.Error()
			a.log.Warn("the authorities of client certificates cannot be read", zap.Error(err))
		}
		if a.pool() == nil {
			again = authoritiesRetry
		}
		select {
		case <-ctx.Done():
		case <-time.After(again):
		}
	}
}

// read reads them once.
func (a *authorities) read(ctx context.Context) error {
	text, err := a.text(ctx)
	if err != nil {
		return err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return errors.New("there is no certificate in it")
	}
	a.known.Store(pool)
	return nil
}

// text gives them as PEM.
func (a *authorities) text(ctx context.Context) ([]byte, error) {
	if a.file != "" {
		return os.ReadFile(a.file)
	}
	ctx, cancel := context.WithTimeout(ctx, authoritiesTimeout)
	defer cancel()
	told, err := a.client.CoreV1().ConfigMaps(clientCANamespace).Get(ctx, clientCAConfigMap, metav1.GetOptions{})
	if err != nil {
		return nil, fmt.Errorf("read ConfigMap %s/%s, or set KUBELET_PROXY_CLIENT_CA_PATH: %w", clientCANamespace, clientCAConfigMap, err)
	}
	return []byte(told.Data[clientCAKey]), nil
}
