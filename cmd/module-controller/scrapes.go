package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"

	"module-controller/internal/access"
	"module-controller/internal/refusals"
	"module-controller/internal/tokens"
)

// Who may read metrics and the other pages.
const (
	metricsAuthNone       = "none"
	metricsAuthKubernetes = "kubernetes"
)

// scrapers lets those read a page who the API server knows and whom its rules permit to get
// its path.
type scrapers struct {
	tokens  *tokens.Reviewer
	access  *access.Reviewer
	metrics *metrics
	told    *refusals.Log
}

// errNoToken is an error of admit: it gets an answer of its own.
var errNoToken = errors.New("send a bearer token, such as that of a service account, in the header Authorization")

func newScrapers(c kubernetes.Interface, m *metrics, log *zap.Logger) *scrapers {
	return &scrapers{
		tokens: tokens.New(c.AuthenticationV1().TokenReviews(), tokens.Config{}), access: access.New(c.AuthorizationV1().SubjectAccessReviews()),
		metrics: m, told: refusals.New(log),
	}
}

// only hands a request on if its sender may get a path.
func (s *scrapers) only(path string, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := s.admit(r, path)
		if err == nil {
			next.ServeHTTP(w, r)
			return
		}
		status, reason := http.StatusServiceUnavailable, "unreviewed"
		switch {
		case errors.Is(err, errNoToken):
			status, reason = http.StatusUnauthorized, "no_token"
		case errors.Is(err, tokens.ErrRefused):
			status, reason = http.StatusUnauthorized, "unauthorized"
		case errors.Is(err, access.ErrForbidden):
			status, reason = http.StatusForbidden, "forbidden"
		}
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", challenge)
		}
		s.metrics.scrapesRefused.of(reason).Inc()
		s.told.Tell("refusing to show a page", reason, "", zap.String("path", path), zap.String("from", r.RemoteAddr), zap.Error(err))
		http.Error(w, err.Error(), status)
	})
}

// challenge has a browser, which sends no bearer token by itself, ask for a name and a
// password.
const challenge = `Basic realm="module-controller: the password is a token", charset="UTF-8"`

// tokenOf gives the bearer token of a request, or the password that a browser sends in its
// place: the name says nothing. It is empty where there is neither.
func tokenOf(r *http.Request) string {
	if _, password, ok := r.BasicAuth(); ok {
		return password
	}
	if token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return token
	}
	return ""
}

// admit gives nil if the sender may get a path, else why not.
func (s *scrapers) admit(r *http.Request, path string) error {
	token := tokenOf(r)
	if token == "" {
		return errNoToken
	}
	user, err := s.tokens.Review(r.Context(), token)
	if err != nil {
		return err
	}
	return s.access.Check(r.Context(), user, access.Wish{Path: path})
}

// pair names the files of a certificate and its key; both are empty for none.
type pair struct{ cert, key string }

// tls reads the files at each handshake, so they can be replaced. It is nil for none.
func (p pair) tls() *tls.Config {
	if p == (pair{}) {
		return nil
	}
	return &tls.Config{MinVersion: tls.VersionTLS12, GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		c, err := tls.LoadX509KeyPair(p.cert, p.key)
		return &c, err
	}}
}

// check says what is wrong with files that two settings name.
func (p pair) check(cert, key string) error {
	switch {
	case p == (pair{}):
		return nil
	case p.cert == "" || p.key == "":
		return fmt.Errorf("%s and %s need each other: set both or none", cert, key)
	}
	if _, err := tls.LoadX509KeyPair(p.cert, p.key); err != nil {
		return fmt.Errorf("%s and %s are of no use: %w", cert, key, err)
	}
	return nil
}
