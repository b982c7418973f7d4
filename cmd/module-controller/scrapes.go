package main

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"

	"module-controller/internal/tokens"
)

// Who may read metrics.
const (
	metricsAuthNone       = "none"
	metricsAuthKubernetes = "kubernetes"
)

// scrapers lets those read metrics who the API server knows and whom its rules permit to
// get /metrics.
type scrapers struct {
	tokens  *tokens.Reviewer
	access  authorization.SubjectAccessReviewInterface
	answers *lru.Cache[string, permission] // by user
	turns   *semaphore.Weighted
	metrics *metrics
	tell    seldom
}

// permission is what the API server said of a user, and until when that holds.
type permission struct {
	err   error // why not, nil where permitted
	until time.Time
}

const (
	// Of permissions accessAtOnce are asked for at a time, each for accessTimeout at most;
	// rememberUsers are remembered, for accessLife.
	accessAtOnce  = 4
	accessTimeout = 3 * time.Second
	rememberUsers = 256
	accessLife    = time.Minute
)

// The errors of admit, by the answer that they get.
var (
	errNoToken   = errors.New("send a bearer token, such as that of a service account, in the header Authorization")
	errForbidden = errors.New("not permitted: bind a ClusterRole with nonResourceURLs /metrics, verb get")
)

func newScrapers(c kubernetes.Interface, m *metrics, log *zap.Logger) *scrapers {
	answers, err := lru.New[string, permission](rememberUsers)
	if err != nil {
		panic(err) // rememberUsers is positive
	}
	return &scrapers{
		tokens: tokens.New(c.AuthenticationV1().TokenReviews(), tokens.Config{}), access: c.AuthorizationV1().SubjectAccessReviews(),
		answers: answers, turns: semaphore.NewWeighted(accessAtOnce), metrics: m, tell: seldom{log: log},
	}
}

// only hands a request on if its sender may read metrics.
func (s *scrapers) only(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		err := s.admit(r)
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
		s.metrics.scrapesRefused.WithLabelValues(reason).Inc()
		s.tell.warn("refusing to show metrics", reason, zap.String("from", r.RemoteAddr), zap.Error(err))
		http.Error(w, err.Error(), status)
	})
}

// admit gives nil if the sender may read metrics, else why not.
func (s *scrapers) admit(r *http.Request) error {
	token, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if !ok || token == "" {
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
	if p, ok := s.answers.Get(string(text)); ok && time.Now().Before(p.until) {
		return p.err
	}
	p, err := s.ask(r.Context(), user)
	if err != nil {
		return err
	}
	s.answers.Add(string(text), p)
	return p.err
}

// ask asks whether a user may read metrics.
func (s *scrapers) ask(ctx context.Context, user authenticationv1.UserInfo) (permission, error) {
	ctx, cancel := context.WithTimeout(ctx, accessTimeout)
	defer cancel()
	if err := s.turns.Acquire(ctx, 1); err != nil {
		return permission{}, fmt.Errorf("wait for other questions: %w", err)
	}
	defer s.turns.Release(1)
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
		NonResourceAttributes: &authorizationv1.NonResourceAttributes{Path: "/metrics", Verb: "get"},
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
		p.err = fmt.Errorf("user %q: %w", user.Username, errForbidden)
	}
	return p, nil
}

// seldom logs a warning at most once a minute for each reason, which has few values.
type seldom struct {
	log *zap.Logger

	mu   sync.Mutex
	told map[string]time.Time // mu guards it
}

func (s *seldom) warn(message, reason string, fields ...zap.Field) {
	s.mu.Lock()
	now := time.Now()
	last, before := s.told[reason]
	due := !before || now.Sub(last) >= time.Minute
	if due {
		if s.told == nil {
			s.told = map[string]time.Time{}
		}
		s.told[reason] = now
	}
	s.mu.Unlock()
	if due {
		s.log.Warn(message, append(fields, zap.String("reason", reason))...)
	}
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
