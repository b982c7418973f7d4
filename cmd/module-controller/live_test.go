package main

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
)

// The burst may be used from the start on, for reading what there is. Each client has its
// own.
func TestTheBurstIsThereAtTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := newLive(read(t, needed(), "--kube-api-qps=20", "--kube-api-burst=30"))
		for n := range 31 {
			if l.work.TryAccept() != (n < 30) {
				t.Errorf("request %d", n)
			}
		}
		if !l.metadata.TryAccept() {
			t.Error("clients share a burst")
		}
		began := time.Now()
		l.work.Accept()
		if took := time.Since(began).Round(time.Millisecond); took != 50*time.Millisecond {
			t.Errorf("the next request waits %s", took)
		}
		l.set(read(t, needed(), "--kube-api-qps=100", "--kube-api-burst=30"))
		began = time.Now()
		if err := l.work.Wait(t.Context()); err != nil || time.Since(began).Round(time.Millisecond) != 10*time.Millisecond {
			t.Errorf("with another rate it waits %s, %v", time.Since(began), err)
		}
	})
}

// The clients of a session are as fast as its process's limits are.
func TestClientsFollowTheLimits(t *testing.T) {
	a := newAPIServer(t)
	a.config.live = newLive(a.config)
	c := a.clients(until{time.Now().Add(time.Hour)})
	if got := c.work.CoreV1().RESTClient().GetRateLimiter(); got != a.config.live.work {
		t.Errorf("%T", got)
	}
	if got := c.review.CoreV1().RESTClient().GetRateLimiter(); got == a.config.live.work {
		t.Error("reviews wait for other requests")
	}
}

// The logger follows its level.
func TestTheLogFollowsItsLevel(t *testing.T) {
	cfg := read(t, needed())
	l := newLive(cfg)
	log, err := newLog(l.level, cfg.logFormat)
	if err != nil {
		t.Fatal(err)
	}
	l.set(read(t, needed(), "--log-level=debug"))
	if !log.Core().Enabled(zap.DebugLevel) || !log.Named("x").With(zap.Int("y", 1)).Core().Enabled(zap.DebugLevel) {
		t.Error("it does not")
	}
}

// Who asks whether this replica is ready hears of what needs a restart.
func TestWaitingChangesAreShown(t *testing.T) {
	a := newAPIServer(t)
	cfg := configFor(t, a, nil)
	cfg.live = newLive(cfg)
	s := sessionOf(t, cfg)
	cfg.live.wait([]string{"mqtt.port"})
	w := httptest.NewRecorder()
	healthHandler(nil, nil, s.notes).ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/readyz?verbose", nil))
	if want := "[i]changed settings need a restart: mqtt.port\n"; !strings.Contains(w.Body.String(), want) {
		t.Errorf("%q is not in:\n%s", want, w.Body)
	}
}
