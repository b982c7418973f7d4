package main

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/golang-lru/v2/expirable"
	authenticationv1 "k8s.io/api/authentication/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	"module-controller/tunnel/tunneltest"
)

const member = "system:serviceaccount:module-controller:module-controller"

// authority is the part of an API server that knows users, in the hand of a test.
type authority struct {
	users map[string]authenticationv1.TokenReviewStatus // by token
	fails map[string]error                              // by resource
	asked []string                                      // resources
}

func newAuthority() *authority {
	status := func(is bool, user string) authenticationv1.TokenReviewStatus {
		return authenticationv1.TokenReviewStatus{Authenticated: is, User: authenticationv1.UserInfo{Username: user}}
	}
	return &authority{fails: map[string]error{}, users: map[string]authenticationv1.TokenReviewStatus{
		"member":    status(true, member),
		"namesake":  status(true, "system:serviceaccount:shop:module-controller"),
		"nobody":    status(true, ""),
		"forgotten": status(false, member), // the user's name proves nothing by itself
	}}
}

// peers are those of a replica that is the member.
func (a *authority) peers() *peers {
	c := fake.NewClientset()
	c.PrependReactor("create", "*", func(action k8stesting.Action) (bool, runtime.Object, error) {
		a.asked = append(a.asked, action.GetResource().Resource)
		err := a.fails[action.GetResource().Resource]
		switch o := action.(k8stesting.CreateAction).GetObject().DeepCopyObject().(type) {
		case *authenticationv1.TokenReview:
			o.Status = a.users[o.Spec.Token]
			return true, o, err
		case *authenticationv1.SelfSubjectReview:
			o.Status.UserInfo.Username = member
			return true, o, err
		}
		return false, nil, nil
	})
	return newPeers(nil, &clients{member: c})
}

func TestOnlyMembersAreAdmitted(t *testing.T) {
	a := newAuthority()
	p := a.peers()
	for range 2 { // what is remembered is the same as what was said
		for token, why := range map[string]string{
			"":          "carries no token",
			"namesake":  `"system:serviceaccount:shop:module-controller"`,
			"nobody":    `user ""`,
			"forgotten": "its token is",
			"stranger":  "its token is",
		} {
			if err := p.Admit(t.Context(), token); err == nil || !strings.Contains(err.Error(), why) {
				t.Errorf("token %q: %v, want %s", token, err, why)
			}
		}
		if err := p.Admit(t.Context(), "member"); err != nil {
			t.Error(err)
		}
	}
	if n := len(a.asked); n != 1+5 { // who we are, and about each token that there was
		t.Errorf("the API server was asked %v", a.asked)
	}
}

// While the API server cannot say who somebody is nobody new is admitted, and that is
// no verdict: it is asked again.
func TestNobodyIsAdmittedUnseen(t *testing.T) {
	a, down := newAuthority(), errors.New("the API server is away")
	p := a.peers()
	for _, resource := range []string{"selfsubjectreviews", "tokenreviews"} {
		a.fails[resource] = down
		if err := p.Admit(t.Context(), "member"); !errors.Is(err, down) {
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
	a := newAuthority()
	p := a.peers()
	p.seen = expirable.NewLRU[[32]byte, error](rememberTokens, nil, 10*time.Millisecond)
	if err := p.Admit(t.Context(), "member"); err != nil {
		t.Fatal(err)
	}
	delete(a.users, "member")
	tunneltest.Await(t, "the end of the verdict", func() bool { return p.Admit(t.Context(), "member") != nil })
}
