package main

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"path"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	httptunnel "module-controller/tunnel/http"
)

const member = "system:serviceaccount:module-controller:module-controller"

// authority is the part of an API server that knows users, in the hand of a test.
type authority struct {
	users map[string]authenticationv1.TokenReviewStatus // by token

	mu sync.Mutex
	// mu guards what follows
	fails map[string]error         // by resource
	holds map[string]chan struct{} // by resource, until it is closed
	asked []string                 // resources
}

func newAuthority() *authority {
	status := func(is bool, user string) authenticationv1.TokenReviewStatus {
		return authenticationv1.TokenReviewStatus{Authenticated: is, User: authenticationv1.UserInfo{Username: user}}
	}
	return &authority{fails: map[string]error{}, holds: map[string]chan struct{}{}, users: map[string]authenticationv1.TokenReviewStatus{
		"member":    status(true, member),
		"namesake":  status(true, "system:serviceaccount:shop:module-controller"),
		"nobody":    status(true, ""),
		"forgotten": status(false, member), // the user's name proves nothing by itself
	}}
}

// RoundTrip takes a review.
func (a *authority) RoundTrip(r *http.Request) (*http.Response, error) {
	resource := path.Base(r.URL.Path)
	a.mu.Lock()
	a.asked = append(a.asked, resource)
	held, err := a.holds[resource], a.fails[resource]
	a.mu.Unlock()
	if held != nil {
		select {
		case <-held:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if err != nil {
		return nil, err
	}
	answer := httptest.NewRecorder()
	answer.Header().Set("Content-Type", runtime.ContentTypeJSON)
	if err := a.review(resource, r.Body, answer); err != nil {
		return nil, err
	}
	return answer.Result(), nil
}

// review answers a review.
func (a *authority) review(resource string, body io.Reader, answer io.Writer) error {
	var token authenticationv1.TokenReview
	var self authenticationv1.SelfSubjectReview
	var review any = &token
	if resource == "selfsubjectreviews" {
		review = &self
	}
	if err := json.NewDecoder(body).Decode(review); err != nil {
		return err
	}
	token.Status, self.Status.UserInfo.Username = a.users[token.Spec.Token], member
	return json.NewEncoder(answer).Encode(review)
}

// hold has questions wait until the test lets them go.
func (a *authority) hold(resource string) (letGo func()) {
	held := make(chan struct{})
	a.mu.Lock()
	defer a.mu.Unlock()
	a.holds[resource] = held
	return func() {
		a.mu.Lock()
		defer a.mu.Unlock()
		delete(a.holds, resource)
		close(held)
	}
}

// questions gives the resources that were asked for.
func (a *authority) questions() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.asked)
}

// peers are those of a replica that is the member.
func (a *authority) peers(t *testing.T) *peers {
	t.Helper()
	c, err := kubernetes.NewForConfig(&rest.Config{
		Host: "http://api", Transport: a, QPS: -1,
		ContentConfig: rest.ContentConfig{ContentType: runtime.ContentTypeJSON},
	})
	if err != nil {
		t.Fatal(err)
	}
	return newPeers(nil, &clients{member: c})
}

func TestOnlyMembersAreAdmitted(t *testing.T) {
	a := newAuthority()
	p := a.peers(t)
	for range 2 { // what is remembered is the same as what was said
		for token, why := range map[string]string{
			"":          "no token",
			"namesake":  `"system:serviceaccount:shop:module-controller"`,
			"nobody":    `user ""`,
			"forgotten": "token belongs to",
			"stranger":  "token belongs to",
		} {
			if err := p.Admit(t.Context(), token); err == nil || errors.Is(err, httptunnel.ErrUnreviewed) || !strings.Contains(err.Error(), why) {
				t.Errorf("token %q: %v, want %s", token, err, why)
			}
		}
		if err := p.Admit(t.Context(), "member"); err != nil {
			t.Error(err)
		}
	}
	if asked := a.questions(); len(asked) != 1+5 { // who we are, and about each token that there was
		t.Errorf("the API server was asked %v", asked)
	}
}

// While the API server cannot say who somebody is nobody new is admitted, and that is
// no verdict: it is asked again.
func TestNobodyIsAdmittedUnseen(t *testing.T) {
	a, down := newAuthority(), errors.New("the API server is away")
	p := a.peers(t)
	for _, resource := range []string{"selfsubjectreviews", "tokenreviews"} {
		a.fails[resource] = down
		if err := p.Admit(t.Context(), "member"); !errors.Is(err, down) || !errors.Is(err, httptunnel.ErrUnreviewed) {
			t.Errorf("without %s: %v", resource, err)
		}
		delete(a.fails, resource)
	}
	if err := p.Admit(t.Context(), "member"); err != nil {
		t.Errorf("once it is back: %v", err)
	}
	a.fails["tokenreviews"] = down
	if err := p.Admit(t.Context(), "member"); err != nil {
		t.Errorf("who was admitted a moment ago: %v", err)
	}
}

// A token that is withdrawn is good for as long as its review is remembered.
func TestAVerdictIsForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		p := a.peers(t)
		if err := p.Admit(t.Context(), "member"); err != nil {
			t.Fatal(err)
		}
		delete(a.users, "member")
		time.Sleep(tokenLife - time.Nanosecond)
		if err := p.Admit(t.Context(), "member"); err != nil {
			t.Errorf("while it is remembered: %v", err)
		}
		time.Sleep(time.Nanosecond)
		if err := p.Admit(t.Context(), "member"); err == nil {
			t.Error("its review is remembered for longer")
		}
	})
}

// A process has several sessions, and each has its own peers.
func TestPeersLeaveNothingBehind(t *testing.T) {
	before := goleak.IgnoreCurrent()
	newPeers(nil, &clients{})
	goleak.VerifyNone(t, before)
}

// A peer that passes on many heartbeats at once costs one review.
func TestATokenIsReviewedOnceAtATime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := newAuthority()
		p := a.peers(t)
		letGo := a.hold("tokenreviews")
		var burst sync.WaitGroup
		for range 20 {
			burst.Go(func() {
				if err := p.Admit(t.Context(), "member"); err != nil {
					t.Error(err)
				}
			})
		}
		synctest.Wait()
		letGo()
		burst.Wait()
		if asked := a.questions(); len(asked) != 2 { // who we are, and whose the token is
			t.Errorf("the API server was asked %v", asked)
		}
	})
}

// An answer that does not come keeps nobody for longer than their own time, whoever
// asked first, and nobody for ever.
func TestASlowReviewKeepsNobody(t *testing.T) {
	for _, resource := range []string{"selfsubjectreviews", "tokenreviews"} {
		t.Run(resource, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := newAuthority()
				p := a.peers(t)
				letGo := a.hold(resource)
				began := time.Now()
				admit := func(ctx context.Context, token string, want time.Duration) {
					err := p.Admit(ctx, token)
					if took := time.Since(began); took != want || !errors.Is(err, httptunnel.ErrUnreviewed) || !errors.Is(err, context.DeadlineExceeded) {
						t.Errorf("token %q: %v after %s, want %s", token, err, took, want)
					}
				}
				hasty, cancel := context.WithTimeout(t.Context(), time.Second)
				defer cancel()
				var waiting sync.WaitGroup
				waiting.Go(func() { admit(t.Context(), "member", reviewTimeout) })
				synctest.Wait()
				waiting.Go(func() { admit(hasty, "member", time.Second) })
				waiting.Go(func() { admit(hasty, "namesake", time.Second) })
				waiting.Wait()
				synctest.Wait()
				letGo()
				if err := p.Admit(t.Context(), "member"); err != nil {
					t.Errorf("once it answers: %v", err)
				}
			})
		})
	}
}
