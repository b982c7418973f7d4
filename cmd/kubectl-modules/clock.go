package main

import (
	"net/http"
	"sync"
	"time"
)

// clock is the API server's, as the heads of its answers tell: what is read is by its time,
// and the clock of whoever looks may be wrong.
type clock struct {
	mu sync.Mutex // mu guards what follows
	// ahead is how far the API server is ahead of us.
	ahead time.Duration
}

// watch has a client's answers tell the time.
func (c *clock) watch(rt http.RoundTripper) http.RoundTripper { return ticking{rt, c} }

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return time.Now().Add(c.ahead)
}

type ticking struct {
	http.RoundTripper
	clock *clock
}

// RoundTrip implements http.RoundTripper. A head tells whole seconds, so what differs by less
// than two differs by nothing.
func (t ticking) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := t.RoundTripper.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	if at, err := http.ParseTime(resp.Header.Get("Date")); err == nil {
		ahead := time.Until(at)
		if ahead.Abs() < 2*time.Second {
			ahead = 0
		}
		t.clock.mu.Lock()
		t.clock.ahead = ahead
		t.clock.mu.Unlock()
	}
	return resp, nil
}
