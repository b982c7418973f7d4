package tokens

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	client "k8s.io/client-go/kubernetes/typed/authentication/v1"

	_ "module-controller/internal/oneproc" // tests in bubbles
)

const ours = "module-controller"

// authority reviews tokens in the hand of a test.
type authority struct {
	client.TokenReviewInterface

	mu sync.Mutex
	// mu guards what follows
	users map[string]string // by token; those for our audience
	fails error
	held  chan struct{} // reviews wait until it is closed; nil for not
	asked int
	most  int // reviews under way at one time
	now   int
}

func (a *authority) Create(ctx context.Context, r *authenticationv1.TokenReview, _ metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	a.mu.Lock()
	a.asked++
	a.now++
	a.most = max(a.most, a.now)
	held, fails := a.held, a.fails
	a.mu.Unlock()
	defer func() { a.mu.Lock(); defer a.mu.Unlock(); a.now-- }()
	if held != nil {
		select {
		case <-held:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if fails != nil {
		return nil, fails
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	user, ok := a.users[r.Spec.Token]
	r.Status = authenticationv1.TokenReviewStatus{Authenticated: ok, User: authenticationv1.UserInfo{Username: user}, Audiences: r.Spec.Audiences}
	return r, nil
}

// reviews gives how many reviews were asked for, and how many are under way. Reviews go on
// while a test asks.
func (a *authority) reviews() (asked, now int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.asked, a.now
}

func (a *authority) set(change func()) {
	a.mu.Lock()
	defer a.mu.Unlock()
	change()
}

// token makes one that says this of itself.
func token(claims map[string]any) string {
	text, err := json.Marshal(claims)
	if err != nil {
		panic(err)
	}
	return "e30." + base64.RawURLEncoding.EncodeToString(text) + ".c2ln"
}

// good is a token for us that names a Pod; many are told apart by their subject.
func good(subject string) string {
	return token(map[string]any{"sub": subject, "aud": []string{ours}, "exp": time.Now().Add(time.Hour).Unix()})
}

func TestWhoIsKnown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{users: map[string]string{good("orders"): "orders", good("nameless"): ""}}
		r := New(a, Config{Audience: ours})
		for range 2 { // what is remembered is what was said
			if user, err := r.Review(t.Context(), good("orders")); err != nil || user.Username != "orders" {
				t.Errorf("%v, %v", user, err)
			}
			for _, who := range []string{"stranger", "nameless"} {
				if user, err := r.Review(t.Context(), good(who)); !errors.Is(err, ErrRefused) || user.Username != "" {
					t.Errorf("%s: %v, %v", who, user, err)
				}
			}
		}
		if asked, _ := a.reviews(); asked != 3 {
			t.Errorf("the API server was asked %d times about three tokens", asked)
		}
	})
}

// What cannot be good costs no review, and the error says what to do.
func TestJunkCostsNoReview(t *testing.T) {
	a := &authority{}
	errLook := errors.New("no such Pod")
	r := New(a, Config{Audience: ours, Look: func(c Claims) error {
		if c.PodUID == "forged" {
			return errLook
		}
		return nil
	}})
	for want, junk := range map[string]string{
		"no JSON web token, as those": "junk",
		"no JSON web token, as":       "a..c",
		"not base64":                  "a.=.c",
		"not JSON":                    "a." + base64.RawURLEncoding.EncodeToString([]byte("[")) + ".c",
		`audiences are []: it must`:   token(map[string]any{"sub": "x"}),
		`must be requested for audience "module-controller"`: token(map[string]any{"aud": "https://kubernetes.default.svc"}),
		"it expired at 2020-01-02T03:04:05Z: read it again":  token(map[string]any{"aud": ours, "exp": time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC).Unix()}),
		"bytes, more than 8192":                              strings.Repeat("a", maxToken+1),
		"no such Pod":                                        token(map[string]any{"aud": ours, "kubernetes.io": map[string]any{"pod": map[string]any{"uid": "forged"}}}),
	} {
		if _, err := r.Review(t.Context(), junk); !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), want) {
			t.Errorf("%.40s: %v, want %s", junk, err, want)
		}
	}
	if asked, _ := a.reviews(); asked != 0 {
		t.Errorf("%d reviews", asked)
	}
}

// Where any audience will do, the API server is not asked about one; where ours is needed,
// its word about another is not enough.
func TestAudiences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{users: map[string]string{good("scraper"): "scraper"}}
		if _, err := New(a, Config{}).Review(t.Context(), good("scraper")); err != nil {
			t.Error(err)
		}
		deaf := unaware{a}
		if _, err := New(deaf, Config{Audience: ours}).Review(t.Context(), good("scraper")); !errors.Is(err, ErrRefused) {
			t.Errorf("an API server that knows no audiences: %v", err)
		}
	})
}

// unaware is an API server that knows no audiences.
type unaware struct{ *authority }

func (u unaware) Create(ctx context.Context, r *authenticationv1.TokenReview, o metav1.CreateOptions) (*authenticationv1.TokenReview, error) {
	r.Spec.Audiences = nil
	return u.authority.Create(ctx, r, o)
}

// However many bad tokens come, few are reviewed at a time, and those who are known stay
// so.
func TestAFloodOfTokens(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{users: map[string]string{good("orders"): "orders"}}
		r := New(a, Config{Audience: ours})
		known := good("orders")
		if _, err := r.Review(t.Context(), known); err != nil {
			t.Fatal(err)
		}
		a.set(func() { a.held = make(chan struct{}) })
		var flood sync.WaitGroup
		for i := range 3000 {
			flood.Go(func() {
				if _, err := r.Review(t.Context(), good(fmt.Sprint("junk", i))); err == nil {
					t.Error("junk is known")
				}
			})
		}
		synctest.Wait()
		if _, now := a.reviews(); now != reviewsAtOnce {
			t.Errorf("%d reviews under way", now)
		}
		flood.Wait() // until their time is over: none was answered
		if asked, _ := a.reviews(); asked > 1+maxWaiting {
			t.Errorf("%d reviews", asked)
		}
		a.set(func() { close(a.held); a.held = nil })
		for i := range 2 * rememberGood {
			if _, err := r.Review(t.Context(), good(fmt.Sprint("junk", i))); !errors.Is(err, ErrRefused) {
				t.Fatal(err)
			}
		}
		before, _ := a.reviews()
		_, err := r.Review(t.Context(), known)
		if asked, _ := a.reviews(); err != nil || asked != before {
			t.Errorf("who was known: %v after %d reviews", err, asked-before)
		}
	})
}

// Bad tokens that name one subject leave room for others.
func TestAFloodInOnesName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{users: map[string]string{good("orders"): "orders"}, held: make(chan struct{})}
		r := New(a, Config{Audience: ours})
		var all sync.WaitGroup
		for i := range 1000 {
			all.Go(func() {
				_, _ = r.Review(t.Context(), token(map[string]any{"sub": "victim", "aud": ours, "n": i}))
			})
		}
		synctest.Wait()
		all.Go(func() {
			if _, err := r.Review(t.Context(), good("orders")); err != nil {
				t.Errorf("another's token: %v", err)
			}
		})
		synctest.Wait()
		a.set(func() { close(a.held); a.held = nil })
		all.Wait()
		if asked, _ := a.reviews(); asked != maxOfSubject+1 {
			t.Errorf("%d reviews", asked)
		}
	})
}

// Who brings a token many times at once costs one review.
func TestATokenIsReviewedOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{users: map[string]string{good("orders"): "orders"}, held: make(chan struct{})}
		r := New(a, Config{Audience: ours})
		var burst sync.WaitGroup
		for range 20 {
			burst.Go(func() {
				if _, err := r.Review(t.Context(), good("orders")); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		a.set(func() { close(a.held) })
		burst.Wait()
		if asked, _ := a.reviews(); asked != 1 {
			t.Errorf("%d reviews", asked)
		}
	})
}

// A token that is withdrawn is good for as long as its verdict holds; and for longer only
// while nobody can be asked, and it has not expired.
func TestHowLongAVerdictHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		short := token(map[string]any{"sub": "short", "aud": ours, "exp": time.Now().Add(2 * time.Minute).Unix()})
		a := &authority{users: map[string]string{good("orders"): "orders", short: "short"}}
		r := New(a, Config{Audience: ours})
		known := good("orders")
		review := func(when, token string, want error) {
			t.Helper()
			if _, err := r.Review(t.Context(), token); !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", when, err, want)
			}
		}
		review("at first", known, nil)
		review("at first", short, nil)
		a.set(func() { a.users = nil; a.fails = errors.New("the API server is away") })
		time.Sleep(verdictLife - time.Nanosecond)
		review("while the verdict holds", known, nil)
		time.Sleep(time.Nanosecond)
		review("nobody can be asked", known, nil)
		review("nobody can be asked, and never could", good("billing"), ErrUnreviewed)
		time.Sleep(2*time.Minute + time.Second)
		review("it expired", short, ErrRefused)
		time.Sleep(2 * time.Minute)
		review("nobody could be asked for long", known, ErrUnreviewed)
		a.set(func() { a.fails = nil })
		review("the API server is back", known, ErrRefused)
	})
}

// An answer that does not come keeps nobody for longer than their own time.
func TestASlowReviewKeepsNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := &authority{held: make(chan struct{})}
		r := New(a, Config{Audience: ours})
		began := time.Now()
		hasty, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var waiting sync.WaitGroup
		for want, ctx := range map[time.Duration]context.Context{time.Second: hasty, reviewTimeout: t.Context()} {
			waiting.Go(func() {
				_, err := r.Review(ctx, good("orders"))
				if took := time.Since(began); took != want || !errors.Is(err, ErrUnreviewed) || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("%v after %s, want %s", err, took, want)
				}
			})
		}
		waiting.Wait()
		synctest.Wait()
	})
}
