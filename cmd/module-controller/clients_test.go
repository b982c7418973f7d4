package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"

	"module-controller/tunnel"
)

// transport answers as it is told to: by a status, or 0 for no connection.
type transport struct {
	statuses []int
	asked    atomic.Int32
}

var errRefused = errors.New("connection refused")

func (t *transport) RoundTrip(*http.Request) (*http.Response, error) {
	n := int(t.asked.Add(1)) - 1
	if n >= len(t.statuses) || t.statuses[n] == 0 {
		return nil, errRefused
	}
	rec := httptest.NewRecorder()
	rec.WriteHeader(t.statuses[n])
	return rec.Result(), nil
}

func ask(ctx context.Context, t *transport, url string) (status int, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	resp, err := (patientWatches{t, zap.NewNop()}).RoundTrip(r)
	if err != nil {
		return 0, err
	}
	return resp.StatusCode, resp.Body.Close()
}

func TestAWatchBeginsWhenTheServerIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &transport{statuses: []int{0, 503, 0, 429, 0, 0, 200}}
		if status, err := ask(t.Context(), server, "https://api/v1/pods?watch=true"); status != 200 || err != nil {
			t.Errorf("status %d, %v", status, err)
		}
		gone := &transport{statuses: []int{410}} // which the library must hear of
		if status, err := ask(t.Context(), gone, "https://api/v1/pods?watch=true"); status != 410 || err != nil {
			t.Errorf("status %d, %v", status, err)
		}
	})
}

func TestOnlyWatchesAreTriedAgain(t *testing.T) {
	server := &transport{}
	if _, err := ask(t.Context(), server, "https://api/v1/pods"); !errors.Is(err, errRefused) || server.asked.Load() != 1 {
		t.Errorf("asked %d times: %v", server.asked.Load(), err)
	}
}

// Without a server a watch ends at once when it is told to, and between its tries
// there are never more than a few seconds.
func TestAWatchWithoutAServerEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &transport{}
		ctx, end := context.WithTimeout(t.Context(), time.Minute)
		defer end()
		began := time.Now()
		if _, err := ask(ctx, server, "https://api/v1/pods?watch=true"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(began); took != time.Minute {
			t.Errorf("it ended after %s", took)
		}
		if n := server.asked.Load(); n < 15 || n > 60 {
			t.Errorf("%d tries in a minute", n)
		}
	})
}

// until is a gate that is open until then.
type until struct{ time.Time }

func (u until) Valid() bool      { return time.Now().Before(u.Time) }
func (u until) Until() time.Time { return u.Time }

func TestWhatMayBeWrittenWithoutTheRightToAct(t *testing.T) {
	for path, passes := range map[string]bool{
		"/api/v1/namespaces/default/events":                         true,
		"/api/v1/namespaces/default/events/a.17":                    true,
		"/apis/events.k8s.io/v1/namespaces/default/events":          true,
		"/api/v1/namespaces/events/pods/a/status":                   false,
		"/api/v1/namespaces/default/pods/events/status":             false,
		"/api/v1/namespaces/default/pods/events":                    false,
		"/api/v1/nodes/events":                                      false,
		"/apis/coordination.k8s.io/v1/namespaces/default/leases/ab": false,
	} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "https://api"+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := gatedWrites{&transport{statuses: []int{200}}, until{}}.RoundTrip(r)
		if err == nil {
			err = resp.Body.Close()
		}
		if refused := errors.Is(err, tunnel.ErrShut); refused == passes {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// The membership has a connection of its own, which a write that hangs ends; all else
// shares another one. Both write protobuf. Nor does the next session use what may hang.
func TestTheMembershipHasAConnectionOfItsOwn(t *testing.T) {
	a := newAPIServer(t)
	c := a.clients(until{time.Now().Add(time.Hour)})
	const protobuf = "application/vnd.kubernetes.protobuf"
	over := map[string]string{} // connections, by what they speak
	for range 3 {
		for client, proto := range map[kubernetes.Interface]string{c.work: "HTTP/2.0", c.member: "HTTP/1.1"} {
			if err := createLease(t.Context(), client); !apierrors.IsForbidden(err) {
				t.Fatal(err)
			}
			got := a.asked()[0]
			if over[proto] == "" {
				over[proto] = got.from
			}
			want := call{over[proto], proto, "POST /apis/coordination.k8s.io/v1/namespaces/n/leases", protobuf, protobuf + ",application/json", "Bearer secret"}
			if got != want {
				t.Errorf("%+v, want %+v", got, want)
			}
		}
	}
	if err := createLease(t.Context(), a.clients(until{time.Now().Add(time.Hour)}).member); !apierrors.IsForbidden(err) {
		t.Fatal(err)
	}
	if next := a.asked()[0].from; over["HTTP/2.0"] == over["HTTP/1.1"] || next == over["HTTP/1.1"] {
		t.Errorf("connections are shared: %v, and that of the next session from %s", over, next)
	}
}

// Who may not act writes its membership, and reads.
func TestWhatLeavesWithoutTheRightToAct(t *testing.T) {
	a := newAPIServer(t)
	c := a.clients(until{})
	if err := createLease(t.Context(), c.work); !errors.Is(err, tunnel.ErrShut) {
		t.Errorf("a base's Lease: %v", err)
	}
	if calls := a.asked(); len(calls) != 0 {
		t.Errorf("it left: %v", calls)
	}
	if err := createLease(t.Context(), c.member); !apierrors.IsForbidden(err) {
		t.Errorf("the membership: %v", err)
	}
	if _, err := c.work.CoreV1().Nodes().Get(t.Context(), "n", metav1.GetOptions{}); !apierrors.IsForbidden(err) {
		t.Errorf("a read: %v", err)
	}
	if calls := a.asked(); len(calls) != 2 {
		t.Errorf("the server was asked %v", calls)
	}
}

// unreachable is a way to a server that comes up late.
type unreachable struct {
	after  time.Duration
	served int
}

func (u *unreachable) RoundTrip(r *http.Request) (*http.Response, error) {
	select {
	case <-time.After(u.after):
		u.served++
		return &http.Response{StatusCode: http.StatusOK, Body: http.NoBody}, nil
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
}

// A write that waits for a connection does not leave after the right to act ended.
func TestAWriteThatWaitsEndsWithTheRightToAct(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for after, leaves := range map[time.Duration]bool{time.Second: true, 4 * time.Second: false} {
			way := &unreachable{after: after}
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPatch, "https://api/api/v1/nodes/a/status", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := gatedWrites{way, until{time.Now().Add(3500 * time.Millisecond)}}.RoundTrip(r)
			if err == nil {
				err = resp.Body.Close()
			}
			if (way.served == 1) != leaves || errors.Is(err, tunnel.ErrShut) == leaves {
				t.Errorf("after %s: served %d times, %v", after, way.served, err)
			}
		}
	})
}

// Checks of connections that the environment does not set are set; those that it sets
// stay.
func TestConnectionChecks(t *testing.T) {
	for name := range connectionChecks {
		t.Setenv(name, "") // restored when the test ends
	}
	t.Setenv("HTTP2_PING_TIMEOUT_SECONDS", "7")
	if err := os.Unsetenv("HTTP2_READ_IDLE_TIMEOUT_SECONDS"); err != nil {
		t.Fatal(err)
	}
	if err := setConnectionChecks(); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "5", "HTTP2_PING_TIMEOUT_SECONDS": "7"} {
		if got := os.Getenv(name); got != want {
			t.Errorf("%s=%s, want %s", name, got, want)
		}
	}
}
