package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"module-controller/election"
	"module-controller/tunnel"
)

// peers implements the HTTP tunnel's Peers: members know each other by the user
// that the API server knows them by.
type peers struct {
	owner  *election.Replica
	client kubernetes.Interface
	token  func() (string, error)
	seen   *expirable.LRU[[sha256.Size]byte, error]

	mu sync.Mutex
	// mu guards what follows
	self string // our own user; empty until it was asked for
}

const (
	// rememberTokens bounds the tokens whose review is remembered, for tokenLife.
	rememberTokens = 1024
	tokenLife      = time.Minute
)

func newPeers(owner *election.Replica, c *clients) *peers {
	return &peers{
		owner: owner, client: c.member, token: c.token,
		seen: expirable.NewLRU[[sha256.Size]byte, error](rememberTokens, nil, tokenLife),
	}
}

// Owner implements httptunnel.Peers.
func (p *peers) Owner(b tunnel.BaseID) string {
	m, ours, ok := p.owner.Owner(b)
	if !ok || ours || p.token == nil {
		return ""
	}
	return m.Address
}

// Refused implements httptunnel.Peers: it is a hint that the member is gone.
func (p *peers) Refused(b tunnel.BaseID) {
	if m, ours, ok := p.owner.Owner(b); ok && !ours {
		p.owner.Hint(m.Holder)
	}
}

// Token implements httptunnel.Peers.
func (p *peers) Token() (string, error) { return p.token() }

// Admit implements httptunnel.Peers: a token is a peer's when the API server knows
// it as our own user's. What it said is remembered for a minute.
func (p *peers) Admit(ctx context.Context, token string) error {
	if token == "" {
		return errors.New("it carries no token")
	}
	key := sha256.Sum256([]byte(token))
	if verdict, ok := p.seen.Get(key); ok {
		return verdict
	}
	self, err := p.user(ctx)
	if err != nil {
		return err
	}
	review, err := p.client.AuthenticationV1().TokenReviews().Create(ctx,
		&authenticationv1.TokenReview{Spec: authenticationv1.TokenReviewSpec{Token: token}}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("review a peer's token: %w", err)
	}
	var verdict error
	if !review.Status.Authenticated || review.Status.User.Username != self {
		verdict = fmt.Errorf("its token is user %q's, not %q's", review.Status.User.Username, self)
	}
	p.seen.Add(key, verdict)
	return verdict
}

func (p *peers) user(ctx context.Context) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.self != "" {
		return p.self, nil
	}
	review, err := p.client.AuthenticationV1().SelfSubjectReviews().Create(ctx, &authenticationv1.SelfSubjectReview{}, metav1.CreateOptions{})
	if err != nil {
		return "", fmt.Errorf("ask who we are: %w", err)
	}
	p.self = review.Status.UserInfo.Username
	return p.self, nil
}
