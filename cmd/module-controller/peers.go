package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"module-controller/election"
	"module-controller/tunnel"
	httptunnel "module-controller/tunnel/http"
)

// peers implements the HTTP tunnel's Peers: members know each other by the user
// that the API server knows them by.
type peers struct {
	owner  *election.Replica
	client kubernetes.Interface
	token  func() (string, error)
	seen   *lru.Cache[tokenHash, verdict]
	asks   singleflight.Group // one asks, the others wait; by token's hash, "" for self
	self   string             // our own user, empty until it was asked for; guarded by asks
}

// tokenHash stands for a token, which is kept nowhere.
type tokenHash [sha256.Size]byte

// verdict is what a review said of a token.
type verdict struct {
	err   error // why it is not a peer's, nil where it is
	until time.Time
}

const (
	// rememberTokens bounds the tokens whose review is remembered, for tokenLife.
	rememberTokens = 1024
	tokenLife      = time.Minute
	// reviewTimeout bounds a review, whoever waits for it: the peer that sent the
	// token waits no longer.
	reviewTimeout = 3 * time.Second
)

func newPeers(owner *election.Replica, c *clients) *peers {
	seen, err := lru.New[tokenHash, verdict](rememberTokens)
	if err != nil {
		panic(err) // rememberTokens is positive
	}
	return &peers{owner: owner, client: c.member, token: c.token, seen: seen}
}

// Owner implements httptunnel.Peers.
func (p *peers) Owner(b tunnel.BaseID) string {
	m, ours, ok := p.owner.ForwardTo(b)
	if !ok || ours || p.token == nil {
		return ""
	}
	return m.Address
}

// Refused implements httptunnel.Peers: it is a hint that the member is gone.
func (p *peers) Refused(b tunnel.BaseID) {
	if m, ours, ok := p.owner.ForwardTo(b); ok && !ours {
		p.owner.Suspect(m.Holder)
	}
}

// Token implements httptunnel.Peers.
func (p *peers) Token() (string, error) { return p.token() }

// Admit implements httptunnel.Peers: a token is a peer's when the API server knows
// it as our own user's. What it said is remembered for a minute. Those who bring the
// same token at the same time share one review, and each waits as long as its own ctx
// permits.
//
// NB: a review goes on for up to reviewTimeout when nobody waits for it any more, also
// beyond the end of this life: what it finds out is of use to the peer's next try.
func (p *peers) Admit(ctx context.Context, token string) error {
	if token == "" {
		return errors.New("it carries no token")
	}
	key := tokenHash(sha256.Sum256([]byte(token)))
	if v, ok := p.seen.Get(key); ok && time.Now().Before(v.until) {
		return v.err
	}
	answer := p.asks.DoChan(string(key[:]), func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), reviewTimeout)
		defer cancel()
		return nil, p.review(ctx, key, token)
	})
	select {
	case r := <-answer:
		return r.Err
	case <-ctx.Done():
		return fmt.Errorf("%w: %w", httptunnel.ErrUnreviewed, context.Cause(ctx))
	}
}

// review asks the API server whose a token is, and remembers what it said.
func (p *peers) review(ctx context.Context, key tokenHash, token string) error {
	self, err := p.user(ctx)
	if err != nil {
		return fmt.Errorf("%w: %w", httptunnel.ErrUnreviewed, err)
	}
	review, err := p.client.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("%w: review a peer's token: %w", httptunnel.ErrUnreviewed, err)
	}
	v := verdict{until: time.Now().Add(tokenLife)}
	if !review.Status.Authenticated || review.Status.User.Username != self {
		v.err = fmt.Errorf("its token is user %q's, not %q's", review.Status.User.Username, self)
	}
	p.seen.Add(key, v)
	return v.err
}

// user gives our own user. One review asks for it and the others wait, for no longer
// than about reviewTimeout, since the one began within their time.
func (p *peers) user(ctx context.Context) (string, error) {
	self, err, _ := p.asks.Do("", func() (any, error) {
		if p.self != "" {
			return p.self, nil
		}
		review, err := p.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
		if err != nil {
			return "", fmt.Errorf("ask who we are: %w", err)
		}
		p.self = review.Status.UserInfo.Username
		return p.self, nil
	})
	return self.(string), err
}
