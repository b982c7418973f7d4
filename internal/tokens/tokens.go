// Package tokens asks the API server whose a bearer token is.
//
// A review costs the API server a signature check and this process a request, so it has
// a price: a token that cannot be good is refused unseen, few reviews are under way at a
// time, and what they said is remembered. Good verdicts are remembered apart from
// refusals: however many bad tokens come, they push no good one out.
//
// All may be called from any goroutine. Nothing is kept of a token but its hash.
package tokens

import (
	"cmp"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/authentication/v1"
)

// The errors of Review, which are returned wrapped.
var (
	// ErrRefused: the token is nobody's, or not for us.
	ErrRefused = errors.New("token is refused")
	// ErrUnreviewed: the token could not be reviewed now, and may be good.
	ErrUnreviewed = errors.New("token could not be reviewed")
)

// Config are the settings of a Reviewer. The zero value of each means its default.
type Config struct {
	// Audience is whom a token must be for. Default: the API server.
	Audience string
	// Look sees what a token says of itself before it is reviewed, and gives why it
	// cannot be of use. It returns at once. Default: nothing is looked at.
	Look func(Claims) error
}

const (
	// reviewsAtOnce bounds the reviews that are under way at the API server.
	reviewsAtOnce = 4
	// maxWaiting bounds those and the tokens that wait for one, and maxOfSubject those
	// that name the same subject: who is named in many bad tokens delays nobody else.
	maxWaiting, maxOfSubject = 64, 4
	// reviewTimeout bounds a review with the wait for its turn, whoever waits for it.
	reviewTimeout = 3 * time.Second
	// verdictLife is how long a verdict holds, and graceLife how long a good one does
	// while the token cannot be reviewed again.
	verdictLife, graceLife = time.Minute, 5 * time.Minute
	// rememberGood and rememberRefused bound the verdicts that are remembered.
	rememberGood, rememberRefused = 16_384, 1024
)

// Reviewer reviews tokens.
type Reviewer struct {
	cfg     Config
	client  client.TokenReviewInterface
	good    *lru.Cache[hash, verdict]
	refused *lru.Cache[hash, verdict]
	asks    singleflight.Group // by hash: one asks, the others wait
	turns   *semaphore.Weighted

	mu sync.Mutex
	// mu guards what follows
	waiting   int
	ofSubject map[string]int // only those above 0
}

type hash [sha256.Size]byte

// verdict is what a review said, until when it holds, and until when it does without
// another one.
type verdict struct {
	user         authenticationv1.UserInfo
	err          error
	until, grace time.Time
}

// New makes a Reviewer. It starts nothing.
func New(c client.TokenReviewInterface, cfg Config) *Reviewer {
	if cfg.Look == nil {
		cfg.Look = func(Claims) error { return nil }
	}
	return &Reviewer{
		cfg: cfg, client: c, good: remember(rememberGood), refused: remember(rememberRefused),
		turns: semaphore.NewWeighted(reviewsAtOnce), ofSubject: map[string]int{},
	}
}

func remember(n int) *lru.Cache[hash, verdict] {
	c, err := lru.New[hash, verdict](n)
	if err != nil {
		panic(err) // the sizes are positive
	}
	return c
}

// Review gives the user that the API server knows a token by: an ErrRefused if there is
// none, an ErrUnreviewed if it could not be asked within ctx or 3 s. An error that Look
// gave can be matched.
//
// NB: a review goes on for up to 3 s when nobody waits for it any more: what it finds out
// is of use to the next try. A token that is withdrawn is good for another minute, and
// for up to five while it cannot be reviewed, but never after it expired.
func (r *Reviewer) Review(ctx context.Context, token string) (authenticationv1.UserInfo, error) {
	now := time.Now()
	claims, err := read(token)
	if err == nil {
		err = claims.check(r.cfg.Audience, now)
	}
	if err == nil {
		err = r.cfg.Look(claims)
	}
	if err != nil {
		return authenticationv1.UserInfo{}, fmt.Errorf("%w: %w", ErrRefused, err)
	}
	key := hash(sha256.Sum256([]byte(token)))
	if v, ok := r.known(key, now); ok {
		return v.user, v.err
	}
	v := r.wait(ctx, r.asks.DoChan(string(key[:]), func() (any, error) {
		return r.ask(context.WithoutCancel(ctx), key, token, claims), nil
	}))
	if last, ok := r.good.Get(key); ok && errors.Is(v.err, ErrUnreviewed) && now.Before(last.grace) {
		return last.user, nil
	}
	return v.user, v.err
}

// known gives the verdict that holds.
func (r *Reviewer) known(key hash, now time.Time) (verdict, bool) {
	for _, c := range []*lru.Cache[hash, verdict]{r.good, r.refused} {
		if v, ok := c.Get(key); ok && now.Before(v.until) {
			return v, true
		}
	}
	return verdict{}, false
}

// wait gives the answer of a review, or that there is none within ctx.
func (r *Reviewer) wait(ctx context.Context, answer <-chan singleflight.Result) verdict {
	select {
	case a := <-answer:
		return a.Val.(verdict)
	case <-ctx.Done():
		return verdict{err: fmt.Errorf("%w: %w", ErrUnreviewed, context.Cause(ctx))}
	}
}

// ask waits for a turn, has the token reviewed and remembers the verdict.
func (r *Reviewer) ask(ctx context.Context, key hash, token string, claims Claims) verdict {
	subject := cmp.Or(claims.PodUID, claims.Subject)
	if !r.enter(subject) {
		return verdict{err: fmt.Errorf("%w: too many tokens wait for their review, try again", ErrUnreviewed)}
	}
	defer r.leave(subject)
	ctx, cancel := context.WithTimeout(ctx, reviewTimeout)
	defer cancel()
	if err := r.turns.Acquire(ctx, 1); err != nil {
		return verdict{err: fmt.Errorf("%w: wait for other reviews: %w", ErrUnreviewed, err)}
	}
	defer r.turns.Release(1)
	review, err := r.client.Create(ctx, r.question(token), metav1.CreateOptions{})
	if err != nil {
		return verdict{err: fmt.Errorf("%w: create TokenReview: %w", ErrUnreviewed, err)}
	}
	now := time.Now()
	v := verdict{user: review.Status.User, err: r.judge(review.Status), until: now.Add(verdictLife), grace: now.Add(graceLife)}
	if v.err != nil {
		v.user = authenticationv1.UserInfo{}
		r.good.Remove(key)
		r.refused.Add(key, v)
		return v
	}
	if !claims.expires.IsZero() {
		end := claims.expires.Add(clockSkew)
		v.until, v.grace = earlier(v.until, end), earlier(v.grace, end)
	}
	r.good.Add(key, v)
	return v
}

func (r *Reviewer) question(token string) *authenticationv1.TokenReview {
	spec := authenticationv1.TokenReviewSpec{Token: token}
	if r.cfg.Audience != "" {
		spec.Audiences = []string{r.cfg.Audience}
	}
	return &authenticationv1.TokenReview{Spec: spec}
}

// judge gives why a token is refused.
//
// An API server that knows no audiences answers without them: its word is then about
// itself, and a token that is for it alone must not do for us.
func (r *Reviewer) judge(s authenticationv1.TokenReviewStatus) error {
	switch {
	case !s.Authenticated:
		return fmt.Errorf("%w: the API server does not know it %s", ErrRefused, s.Error)
	case s.User.Username == "":
		return fmt.Errorf("%w: the API server names no user", ErrRefused)
	case r.cfg.Audience != "" && !slices.Contains(s.Audiences, r.cfg.Audience):
		return fmt.Errorf("%w: it is not for audience %q", ErrRefused, r.cfg.Audience)
	}
	return nil
}

// enter takes a place among those who wait, if there is one.
func (r *Reviewer) enter(subject string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting >= maxWaiting || r.ofSubject[subject] >= maxOfSubject {
		return false
	}
	r.waiting++
	r.ofSubject[subject]++
	return true
}

func (r *Reviewer) leave(subject string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting--
	if r.ofSubject[subject]--; r.ofSubject[subject] == 0 {
		delete(r.ofSubject, subject)
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}
