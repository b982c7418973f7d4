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
type linkWatch struct {
	tunnel.Sink
	tunnels int
	linked  func(up bool)

	mu sync.Mutex
	// mu guards what follows
	connected map[string]bool
	up        map[string]bool
	serves    bool
}

func newLinkWatch(sink tunnel.Sink, tunnels int, linked func(up bool)) *linkWatch {
	return &linkWatch{Sink: sink, tunnels: tunnels, linked: linked, connected: map[string]bool{}, up: map[string]bool{}}
}

// cutFor is how long a link must be down before others are told. A broker that is
// started again cuts all replicas off at once, and no base should move for that.
const cutFor = 5 * time.Second

func (w *linkWatch) Link(l tunnel.Link) {
	w.mu.Lock()
	w.connected[l.Tunnel] = w.connected[l.Tunnel] || l.Up
	w.up[l.Tunnel] = l.Up
	w.mu.Unlock()
	if l.Up {
		w.tell()
	} else {
		time.AfterFunc(cutFor, w.tell)
	}
	w.Sink.Link(l)
}

func (w *linkWatch) tell() {
	w.mu.Lock()
	up := 0
	for _, is := range w.up {
		if is {
			up++
		}
	}
	all := w.serves && up == w.tunnels
	w.mu.Unlock()
	w.linked(all)
}

// serveWhen waits until the provider serves, and returns when ctx ends.
func (w *linkWatch) serveWhen(ctx context.Context, ready <-chan struct{}) error {
	select {
	case <-ready:
		w.mu.Lock()
		w.serves = true
		w.mu.Unlock()
		w.tell()
		<-ctx.Done()
	case <-ctx.Done():
	}
	return nil
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
