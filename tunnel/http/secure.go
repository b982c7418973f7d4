package httptunnel

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"go.uber.org/zap"
)

// certificates are the files that heartbeats are received with over TLS. They are read
// again when one has changed; until all of them can be read, what was read before holds.
type certificates struct {
	cert, key, ca string // ca may be empty
	log           *zap.Logger

	mu sync.Mutex
	// mu guards what follows
	read  [3]stamp
	last  *tls.Config // nil before the first
	tried [3]stamp    // what could not be read, so that it is told once
}

// stamp tells whether a file has changed.
type stamp struct {
	at   time.Time
	size int64
}

// tls gives the configuration of a server.
func (c *certificates) tls() *tls.Config {
	return &tls.Config{
		MinVersion:         tls.VersionTLS12,
		GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current() },
	}
}

// current gives the configuration as the files are now.
func (c *certificates) current() (*tls.Config, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := [3]stamp{stampOf(c.cert), stampOf(c.key), stampOf(c.ca)}
	if c.last != nil && now == c.read {
		return c.last, nil
	}
	fresh, err := c.load()
	switch {
	case err == nil:
		c.last, c.read = fresh, now
	case c.last == nil:
		return nil, err
	case now != c.tried:
		c.tried = now
		c.log.Warn("new certificates cannot be used, the old ones hold", zap.Error(err))
	}
	return c.last, nil
}

func stampOf(file string) stamp {
	info, err := os.Stat(file)
	if err != nil {
		return stamp{}
	}
	return stamp{info.ModTime(), info.Size()}
}

func (c *certificates) load() (*tls.Config, error) {
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return nil, fmt.Errorf("read certificate of the heartbeat listener: %w", err)
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{pair}, NextProtos: []string{"http/1.1"}}
	if c.ca == "" {
		return cfg, nil
	}
	text, err := os.ReadFile(c.ca)
	if err != nil {
		return nil, fmt.Errorf("read authority of client certificates: %w", err)
	}
	cfg.ClientCAs = x509.NewCertPool()
	if !cfg.ClientCAs.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("read authority of client certificates: %w", errors.New(c.ca+" has no certificate"))
	}
	// Who sends none is told so in the answer, where one is needed.
	cfg.ClientAuth = tls.VerifyClientCertIfGiven
	return cfg, nil
}
