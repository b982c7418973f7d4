package main

import (
	"context"
	"errors"
	"slices"
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
	changed chan struct{} // has one when checks were added

	mu sync.Mutex
	// mu guards what follows
	connected map[string]bool
	up        map[string]bool
	// checks are when to tell whether the links are up; those that were told are not
	// in it any more.
	checks []time.Time
}

func newLinkWatch(sink tunnel.Sink, tunnels int, linked func(up bool)) *linkWatch {
	return &linkWatch{Sink: sink, tunnels: tunnels, linked: linked, changed: make(chan struct{}, 1), connected: map[string]bool{}, up: map[string]bool{}}
}

// cutFor is how long after a link went down others are told. A broker that is
// started again cuts all replicas off at once, and no base should move for that.
const cutFor = 5 * time.Second

// Link implements tunnel.Sink.
func (w *linkWatch) Link(l tunnel.Link) {
	check := time.Now()
	if !l.Up {
		check = check.Add(cutFor)
	}
	w.mu.Lock()
	w.connected[l.Tunnel] = w.connected[l.Tunnel] || l.Up
	w.up[l.Tunnel] = l.Up
	w.checks = append(w.checks, check)
	w.mu.Unlock()
	select {
	case w.changed <- struct{}{}:
	default:
	}
	w.Sink.Link(l)
}

// run tells whether this replica is linked, once the provider is ready and until ctx
// ends.
func (w *linkWatch) run(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
	case <-ctx.Done():
		return nil
	}
	w.linked(w.allUp())
	next := time.NewTimer(0)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-w.changed:
		case <-next.C:
		}
		due, wait := w.due(time.Now())
		if due {
			w.linked(w.allUp())
		}
		if wait > 0 {
			next.Reset(wait)
		}
	}
}

// due takes the checks that are due, says whether there were any, and how long the next
// one has to wait; 0 means that there is none.
func (w *linkWatch) due(now time.Time) (due bool, wait time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	later := slices.DeleteFunc(w.checks, func(at time.Time) bool { return !at.After(now) })
	due, w.checks = len(later) < len(w.checks), later
	if len(later) > 0 {
		wait = slices.MinFunc(later, time.Time.Compare).Sub(now)
	}
	return due, wait
}

func (w *linkWatch) allUp() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	up := 0
	for _, is := range w.up {
		if is {
			up++
		}
	}
	return up == w.tunnels
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
