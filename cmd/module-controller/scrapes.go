package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"

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
	access  authorization.SubjectAccessReviewInterface
	answers *lru.Cache[wish, permission]
	turns   *semaphore.Weighted
	metrics *metrics
	told    *refusals.Log
}

// wish is of a user to get a path.
type wish struct{ user, path string }

// permission is what the API server said of a wish, and until when that holds.
type permission struct {
	err   error // why not, nil where permitted
	until time.Time
}

const (
	// Of permissions accessAtOnce are asked for at a time, each for accessTimeout at most;
	// rememberWishes are remembered, for accessLife.
	accessAtOnce   = 4
	accessTimeout  = 3 * time.Second
	rememberWishes = 256
	accessLife     = time.Minute
)

// The errors of admit, by the answer that they get.
var (
	errNoToken   = errors.New("send a bearer token, such as that of a service account, in the header Authorization")
	errForbidden = errors.New("not permitted")
)

func newScrapers(c kubernetes.Interface, m *metrics, log *zap.Logger) *scrapers {
	answers, err := lru.New[wish, permission](rememberWishes)
	if err != nil {
		panic(err) // rememberWishes is positive
	}
	return &scrapers{
		tokens: tokens.New(c.AuthenticationV1().TokenReviews(), tokens.Config{}), access: c.AuthorizationV1().SubjectAccessReviews(),
		answers: answers, turns: semaphore.NewWeighted(accessAtOnce), metrics: m, told: refusals.New(log),
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
		case errors.Is(err, errForbidden):
			status, reason = http.StatusForbidden, "forbidden"
		}
		if status == http.StatusUnauthorized {
			w.Header().Set("WWW-Authenticate", challenge)
		}
		s.metrics.scrapesRefused.WithLabelValues(reason).Inc()
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
	text, err := json.Marshal(user)
	if err != nil {
		return fmt.Errorf("name the user: %w", err)
	}
	asked := wish{string(text), path}
	if p, ok := s.answers.Get(asked); ok && time.Now().Before(p.until) {
		return p.err
	}
	p, err := s.ask(r.Context(), user, path)
	if err != nil {
		return err
	}
	s.answers.Add(asked, p)
	return p.err
}

// ask asks whether a user may get a path.
func (s *scrapers) ask(ctx context.Context, user authenticationv1.UserInfo, path string) (permission, error) {
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	if err := s.turns.Acquire(ctx, 1); err != nil {
		return permission{}, fmt.Errorf("wait for other questions: %w", err)
	}
	defer s.turns.Release(1)
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: path, Verb: "get"},
	}
	for name, value := range user.Extra {
		spec.Extra[name] = authorizationv1.ExtraValue(value)
	}
	review, err := s.access.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: spec}, metav1.CreateOptions{})
	if err != nil {
		return permission{}, fmt.Errorf("create SubjectAccessReview: %w", err)
	}
	p := permission{until: time.Now().Add(accessLife)}
	if !review.Status.Allowed {
		p.err = fmt.Errorf("user %q: %w: bind a ClusterRole with nonResourceURLs %s, verb get", user.Username, errForbidden, path)
	}
	return p, nil
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
