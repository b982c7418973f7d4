package webhooks

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"time"
)

// Config says who is told, and how. The zero value of each field but URLs and SecretFile
// means its default.
type Config struct {
	// URLs are told of each failure. None: nobody is told.
	URLs []string
	// SecretFile has the secret that signs. It is read for each failure that is sent.
	SecretFile string
	// AllowHTTP permits URLs without TLS that are not at a loopback address.
	AllowHTTP bool

	// timeout bounds one request. A failure that could not be sent is tried again after
	// retry, doubled each time, until there were tries in all.
	timeout, retry time.Duration
	tries          int
	// waiting is how many failures wait for one URL at most.
	waiting int
}

const (
	// maxURLs is how many URLs there may be: each has a goroutine and a queue.
	maxURLs = 8
	// minSecret is the least length of a secret in bytes.
	minSecret = 16
)

// Complete gives the configuration with defaults where it says nothing.
func (c Config) Complete() Config {
	c.timeout, c.retry = cmp.Or(c.timeout, 5*time.Second), cmp.Or(c.retry, time.Second)
	c.tries, c.waiting = cmp.Or(c.tries, 5), cmp.Or(c.waiting, 256)
	return c
}

// Validate reports every fault of a completed configuration at once. No fault shows more of
// a URL than its place in the list: it may be a secret.
func (c Config) Validate() error {
	var errs []error
	if len(c.URLs) > maxURLs {
		errs = append(errs, fmt.Errorf("REPORT_HOOKS has %d URLs, at most %d are told: have one of them pass it on", len(c.URLs), maxURLs))
	}
	for i, u := range c.URLs {
		if why := c.refuses(u); why != "" {
			errs = append(errs, fmt.Errorf("REPORT_HOOKS: URL %d %s", i+1, why))
		}
	}
	if len(c.URLs) > 0 {
		_, err := c.secret()
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// refuses says why nothing is sent to a URL; empty where it is.
func (c Config) refuses(text string) string {
	u, err := url.Parse(text)
	switch {
	case err != nil, u.Hostname() == "":
		return "is no URL, such as https://hooks.example.com/modules"
	case u.User != nil:
		return "has a user or password in it: what is sent is signed, take them out"
	case u.Scheme == "https":
		return ""
	case u.Scheme != "http":
		return "must begin with https://"
	case c.AllowHTTP, isLoopback(u.Hostname()):
		return ""
	}
	return "must begin with https://, or set REPORT_HOOKS_ALLOW_HTTP=true: whoever is in between can read what is sent"
}

func isLoopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// secret reads the secret as it is now, without the space around it.
func (c Config) secret() ([]byte, error) {
	if c.SecretFile == "" {
		return nil, errors.New("REPORT_HOOKS needs REPORT_HOOKS_SECRET_FILE: a file with a secret that signs what is sent")
	}
	text, err := os.ReadFile(c.SecretFile)
	if err != nil {
		return nil, fmt.Errorf("read REPORT_HOOKS_SECRET_FILE: %w", err)
	}
	if text = bytes.TrimSpace(text); len(text) < minSecret {
		return nil, fmt.Errorf("REPORT_HOOKS_SECRET_FILE: %s has %d bytes, a secret has %d or more", c.SecretFile, len(text), minSecret)
	}
	return text, nil
}
