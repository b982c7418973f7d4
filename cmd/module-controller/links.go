package main

import (
	"context"
	"errors"
	"sync"
	"time"

	"module-controller/provider"
	"module-controller/tunnel"
)

// linkWatch passes all that tunnels hear on to the provider, remembers which of
// them were connected once, and tells whether all are and the provider serves: who
// does not is to be given no bases.
//
// Link only records; run, which ends with the session, is the one that tells.
type linkWatch struct {
	tunnel.Sink
	tunnels int
	linked  func(up bool)
	changed chan struct{} // has one when a link changed

	mu sync.Mutex
	// mu guards what follows
	connected map[string]bool
	up        map[string]bool // all true; also those that are lost and not told yet
	// lost are links that are down and not told yet, and when they are to be. One that
	// comes back is not in it any more, so the next loss has a time of its own.
	lost map[string]time.Time
}

func newLinkWatch(sink tunnel.Sink, tunnels int, linked func(up bool)) *linkWatch {
	return &linkWatch{Sink: sink, tunnels: tunnels, linked: linked, changed: make(chan struct{}, 1), connected: map[string]bool{}, up: map[string]bool{}, lost: map[string]time.Time{}}
}

// cutFor is how long after a link went down others are told. A broker that is
// started again cuts all replicas off at once, and no base should move for that.
const cutFor = 5 * time.Second

// Link implements tunnel.Sink.
func (w *linkWatch) Link(l tunnel.Link) {
	w.mu.Lock()
	_, known := w.lost[l.Tunnel]
	switch {
	case l.Up:
		w.connected[l.Tunnel], w.up[l.Tunnel] = true, true
		delete(w.lost, l.Tunnel)
	case w.up[l.Tunnel] && !known:
		w.lost[l.Tunnel] = time.Now().Add(cutFor)
	}
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
	w.Sink.Link(l)
}

// run tells whether this replica is linked, once all of ready are closed and until ctx
// ends.
func (w *linkWatch) run(ctx context.Context, ready ...<-chan struct{}) error {
	for _, one := range ready {
		select {
		case <-one:
		case <-ctx.Done():
			return nil
		}
	}
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.changed:
		case <-next.C:
		}
		up, wait := w.count(time.Now())
		w.linked(up)
		if wait > 0 {
			next.Reset(wait)
		}
	}
}

// count says whether all links are up, or are not lost for long, and how long until one of
// those is; 0 means that there is none.
func (w *linkWatch) count(now time.Time) (up bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for name, at := range w.lost {
		switch left := at.Sub(now); {
		case left <= 0:
			delete(w.lost, name)
			delete(w.up, name)
		case wait == 0:
			wait = left
		default:
			wait = min(wait, left)
		}
	}
	return len(w.up) == w.tunnels, wait
}

func (w *linkWatch) once(name string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.connected[name] {
		return errors.New("not connected yet")
	}
	return nil
}

// readiness has what must be true once before this replica is of use. A broker
// that goes away later makes it no less ready: restarting would not help.
func readiness(p *provider.Provider, tunnels []tunnel.Tunnel, links *linkWatch, announced func() bool) []check {
	checks := []check{{"announced-to-members", func() error {
		if !announced() {
			return errors.New("readiness to own bases was not announced to the members yet")
		}
		return nil
	}}, {"caches-synced", func() error {
		select {
		case <-p.Ready():
			return nil
		default:
			return errors.New("not synced yet")
		}
	}}}
	for _, t := range tunnels {
		checks = append(checks, check{t.Name() + "-connected-once", func() error { return links.once(t.Name()) }})
	}
	return checks
}
