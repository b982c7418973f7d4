// Package access asks the API server whether a user may do something, by its rules.
//
// Few questions are under way at a time, each for a few seconds at most, and what was
// answered is remembered for a minute: a right that is taken away ends within it.
//
// All may be called from any goroutine.
package access

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/sync/semaphore"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	authorization "k8s.io/client-go/kubernetes/typed/authorization/v1"
)

// ErrForbidden is returned, wrapped, where the rules do not permit it.
var ErrForbidden = errors.New("not permitted")

const (
	// Of permissions atOnce are asked for at a time, each for Timeout at most.
	atOnce = 4
	// rememberGranted and rememberRefused bound the answers that are remembered, for Life. A
	// scraper has one for each Node of a replica. What is refused is remembered apart: anybody
	// who has a token may ask for much that he may not have.
	rememberGranted, rememberRefused = 4096, 1024
	// Timeout bounds a question with the wait for its turn.
	Timeout = 3 * time.Second
	// Life is how long an answer holds.
	Life = time.Minute
)

// Wish is what a user wants to do: to get a Path, or to do something with part of a Node.
type Wish struct {
	// Path is one of this program's, such as "/metrics"; empty for a Node.
	Path string
	// Node is the Node's name, Subresource what of it, such as "proxy", and Verb what is done
	// with that, as "get".
	Node, Subresource, Verb string
}

// grant says how a wish is permitted.
func (w Wish) grant() string {
	if w.Path != "" {
		return fmt.Sprintf("nonResourceURLs %s, verb get", w.Path)
	}
	return fmt.Sprintf("resources nodes/%s, verb %s", w.Subresource, w.Verb)
}

// Reviewer asks, and remembers what was answered.
type Reviewer struct {
	reviews          authorization.SubjectAccessReviewInterface
	granted, refused *lru.Cache[asked, permission]
	turns            *semaphore.Weighted
}

// asked is a wish of a user, with all that is known of him.
type asked struct {
	user string
	wish Wish
}

// permission is what the API server said of a wish, and until when that holds.
type permission struct {
	err   error // why not, nil where permitted
	until time.Time
}

// New makes a Reviewer.
func New(reviews authorization.SubjectAccessReviewInterface) *Reviewer {
	return &Reviewer{reviews: reviews, granted: remember(rememberGranted), refused: remember(rememberRefused), turns: semaphore.NewWeighted(atOnce)}
}

func remember(n int) *lru.Cache[asked, permission] {
	answers, err := lru.New[asked, permission](n)
	if err != nil {
		panic(err) // n is positive
	}
	return answers
}

// Check gives nil if a user may have a wish, else why not: ErrForbidden where the rules say
// so, another error where nobody could be asked.
func (r *Reviewer) Check(ctx context.Context, user authenticationv1.UserInfo, w Wish) error {
	text, err := json.Marshal(user)
	if err != nil {
		return fmt.Errorf("name the user: %w", err)
	}
	key := asked{string(text), w}
	for _, answers := range []*lru.Cache[asked, permission]{r.granted, r.refused} {
		if p, ok := answers.Get(key); ok && time.Now().Before(p.until) {
			return p.err
		}
	}
	p, err := r.ask(ctx, user, w)
	if err != nil {
		return err
	}
	if p.err == nil {
		r.granted.Add(key, p)
	} else {
		r.refused.Add(key, p)
	}
	return p.err
}

// ask asks whether a user may have a wish.
func (r *Reviewer) ask(ctx context.Context, user authenticationv1.UserInfo, w Wish) (permission, error) {
	ctx, cancel := context.WithTimeout(ctx, Timeout)
	defer cancel()
	if err := r.turns.Acquire(ctx, 1); err != nil {
		return permission{}, fmt.Errorf("wait for other questions: %w", err)
	}
	defer r.turns.Release(1)
	review, err := r.reviews.Create(ctx, &authorizationv1.SubjectAccessReview{Spec: specOf(user, w)}, metav1.CreateOptions{})
	if err != nil {
		return permission{}, fmt.Errorf("create SubjectAccessReview: %w", err)
	}
	p := permission{until: time.Now().Add(Life)}
	if !review.Status.Allowed {
		p.err = fmt.Errorf("user %q: %w: bind a ClusterRole with %s", user.Username, ErrForbidden, w.grant())
	}
	return p, nil
}

func specOf(user authenticationv1.UserInfo, w Wish) authorizationv1.SubjectAccessReviewSpec {
	spec := authorizationv1.SubjectAccessReviewSpec{
		User: user.Username, UID: user.UID, Groups: user.Groups, Extra: map[string]authorizationv1.ExtraValue{},
	}
	for name, value := range user.Extra {
		spec.Extra[name] = authorizationv1.ExtraValue(value)
	}
	if w.Path != "" {
		spec.NonResourceAttributes = &authorizationv1.NonResourceAttributes{Path: w.Path, Verb: "get"}
		return spec
	}
	spec.ResourceAttributes = &authorizationv1.ResourceAttributes{
		Version: "v1", Resource: "nodes", Subresource: w.Subresource, Name: w.Node, Verb: w.Verb,
	}
	return spec
}
