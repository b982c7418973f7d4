package access

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/fake"
	k8stesting "k8s.io/client-go/testing"

	_ "module-controller/internal/oneproc"
)

// authority answers reviews, and counts them.
type authority struct {
	asked atomic.Int32
	may   func(authorizationv1.SubjectAccessReviewSpec) (bool, error)
}

func (a *authority) reviewer() *Reviewer {
	client := fake.NewClientset()
	client.PrependReactor("create", "subjectaccessreviews", func(action k8stesting.Action) (bool, runtime.Object, error) {
		a.asked.Add(1)
		r := action.(k8stesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		var err error
		r.Status.Allowed, err = a.may(r.Spec)
		return true, r, err
	})
	return New(client.AuthorizationV1().SubjectAccessReviews())
}

// A wish is asked for as it is, with all that is known of the user, and who may not is told how
// it is permitted.
func TestWhatIsAskedFor(t *testing.T) {
	user := authenticationv1.UserInfo{Username: "scraper", UID: "1", Groups: []string{"g"}, Extra: map[string]authenticationv1.ExtraValue{"k": {"v"}}}
	var got authorizationv1.SubjectAccessReviewSpec
	a := &authority{may: func(s authorizationv1.SubjectAccessReviewSpec) (bool, error) {
		got = s
		return false, nil
	}}
	r := a.reviewer()
	err := r.Check(t.Context(), user, Wish{Path: "/metrics"})
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "nonResourceURLs /metrics, verb get") || got.ResourceAttributes != nil || got.NonResourceAttributes.Path != "/metrics" {
		t.Errorf("a path: %v, %+v", err, got)
	}
	if got.User != "scraper" || got.UID != "1" || len(got.Groups) != 1 || len(got.Extra["k"]) != 1 {
		t.Errorf("of %+v", got)
	}
	err = r.Check(t.Context(), user, Wish{Node: "vnode.shop.dev", Subresource: "stats", Verb: "get"})
	at := got.ResourceAttributes
	if !errors.Is(err, ErrForbidden) || !strings.Contains(err.Error(), "nodes/stats, verb get") || got.NonResourceAttributes != nil || at.Name != "vnode.shop.dev" || at.Resource != "nodes" || at.Subresource != "stats" || at.Verb != "get" {
		t.Errorf("a Node: %v, %+v", err, at)
	}
}

// What is refused, of whom ever, has others not asked for again that are permitted.
func TestRefusalsPushNoPermissionOut(t *testing.T) {
	a := &authority{may: func(s authorizationv1.SubjectAccessReviewSpec) (bool, error) { return s.User == "scraper", nil }}
	r := a.reviewer()
	scrapes := func() {
		t.Helper()
		for i := range 1024 { // as many as a replica has ports
			if err := r.Check(t.Context(), authenticationv1.UserInfo{Username: "scraper"}, Wish{Node: fmt.Sprint("n", i), Subresource: "metrics", Verb: "get"}); err != nil {
				t.Fatal(err)
			}
		}
	}
	scrapes()
	for i := range 2 * rememberGranted {
		if err := r.Check(t.Context(), authenticationv1.UserInfo{Username: "anybody"}, Wish{Node: fmt.Sprint("n", i), Subresource: "proxy", Verb: "get"}); !errors.Is(err, ErrForbidden) {
			t.Fatal(err)
		}
	}
	before := a.asked.Load()
	if scrapes(); a.asked.Load() != before {
		t.Errorf("asked for again: %d", a.asked.Load()-before)
	}
}

// What was answered holds for a minute, for that user and that wish alone; an answer that did
// not come is not remembered.
func TestAnswersAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		a := &authority{may: func(authorizationv1.SubjectAccessReviewSpec) (bool, error) {
			if away {
				return false, errors.New("the API server is away")
			}
			return true, nil
		}}
		r := a.reviewer()
		check := func(when, user, node string, want int32) {
			t.Helper()
			err := r.Check(context.Background(), authenticationv1.UserInfo{Username: user}, Wish{Node: node, Subresource: "proxy", Verb: "get"})
			if errors.Is(err, ErrForbidden) || (err != nil) != away || a.asked.Load() != want {
				t.Errorf("%s: %v, asked %d times, want %d", when, err, a.asked.Load(), want)
			}
		}
		check("away", "a", "n", 1)
		check("still away", "a", "n", 2)
		away = false
		check("back", "a", "n", 3)
		check("again", "a", "n", 3)
		check("another user", "b", "n", 4)
		check("another Node", "a", "m", 5)
		time.Sleep(Life - time.Nanosecond)
		check("within its life", "a", "n", 5)
		time.Sleep(time.Nanosecond)
		check("after it", "a", "n", 6)
	})
}
