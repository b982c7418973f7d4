package main

import (
	"errors"
	"sync"

	"module-controller/provider"
	"module-controller/tunnel"
)

// linkWatch passes all that tunnels hear on to the provider, and remembers which
// of them were connected once.
type linkWatch struct {
	tunnel.Sink

	mu sync.Mutex
	// mu guards what follows
	connected map[string]bool
}

func newLinkWatch(sink tunnel.Sink) *linkWatch {
	return &linkWatch{Sink: sink, connected: map[string]bool{}}
}

func (w *linkWatch) Link(l tunnel.Link) {
	if l.Up {
		w.mu.Lock()
		w.connected[l.Tunnel] = true
		w.mu.Unlock()
	}
	w.Sink.Link(l)
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
func readiness(p *provider.Provider, tunnels []tunnel.Tunnel, links *linkWatch) []check {
	checks := []check{{"caches-synced", func() error {
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
