package main

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"

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

type shut struct{}

func (shut) Valid() bool                            { return false }
func (shut) Fresh(context.Context, time.Time) error { return nil }

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
		resp, err := gatedWrites{&transport{statuses: []int{200}}, shut{}}.RoundTrip(r)
		if err == nil {
			err = resp.Body.Close()
		}
		if refused := errors.Is(err, tunnel.ErrShut); refused == passes {
			t.Errorf("%s: %v", path, err)
		}
	}
}
