package tunneltest

import (
	"context"
	"slices"
	"sync"

	"module-controller/tunnel"
)

// Ears are a tunnel.Sink that remembers all that it hears. The zero value is ready.
type Ears struct {
	mu sync.Mutex
	// mu guards what follows
	beats   []tunnel.Heartbeat
	reports []tunnel.Report
	links   []tunnel.Link
	changed chan struct{} // closed with the next thing heard; nil while nobody waits
}

// Heartbeat implements tunnel.Sink.
func (e *Ears) Heartbeat(h tunnel.Heartbeat) {
	e.hear(func() { e.beats = append(e.beats, h) })
}

// Report implements tunnel.Sink.
func (e *Ears) Report(r tunnel.Report) {
	e.hear(func() { e.reports = append(e.reports, r) })
}

// Link implements tunnel.Sink.
func (e *Ears) Link(l tunnel.Link) {
	e.hear(func() { e.links = append(e.links, l) })
}

// Heard gives all that was heard so far.
func (e *Ears) Heard() Said {
	e.mu.Lock()
	defer e.mu.Unlock()
	return Said{slices.Clone(e.beats), slices.Clone(e.reports), slices.Clone(e.links)}
}

// Said is what a tunnel said, each kind with the oldest first.
type Said struct {
	Beats   []tunnel.Heartbeat
	Reports []tunnel.Report
	Links   []tunnel.Link
}

// Up says whether the link was up at last.
func (s Said) Up() bool { return len(s.Links) > 0 && s.Links[len(s.Links)-1].Up }

// Ups is how often the link came up.
func (s Said) Ups() int {
	return count(s.Links, func(l tunnel.Link) bool { return l.Up })
}

// Lists is how many lists a base gave.
func (s Said) Lists(b tunnel.BaseID) int {
	return count(s.Reports, func(r tunnel.Report) bool { return r.Base == b && r.Listed })
}

func count[T any](all []T, fits func(T) bool) (n int) {
	for _, one := range all {
		if fits(one) {
			n++
		}
	}
	return n
}

func (e *Ears) hear(record func()) {
	e.mu.Lock()
	defer e.mu.Unlock()
	record()
	if e.changed != nil {
		close(e.changed)
		e.changed = nil
	}
}

// mark is how much was heard up to a moment.
type mark struct{ beats, reports, links int }

func (e *Ears) now() mark {
	e.mu.Lock()
	defer e.mu.Unlock()
	return mark{len(e.beats), len(e.reports), len(e.links)}
}

// beat waits for a heartbeat since a mark that fits.
func (e *Ears) beat(ctx context.Context, since mark, fits func(tunnel.Heartbeat) bool) (h tunnel.Heartbeat, ok bool) {
	ok = e.await(ctx, func() bool { h, ok = first(e.beats[since.beats:], fits); return ok })
	return h, ok
}

func (e *Ears) report(ctx context.Context, since mark, fits func(tunnel.Report) bool) (r tunnel.Report, ok bool) {
	ok = e.await(ctx, func() bool { r, ok = first(e.reports[since.reports:], fits); return ok })
	return r, ok
}

func (e *Ears) link(ctx context.Context, since mark, fits func(tunnel.Link) bool) (l tunnel.Link, ok bool) {
	ok = e.await(ctx, func() bool { l, ok = first(e.links[since.links:], fits); return ok })
	return l, ok
}

func first[T any](all []T, fits func(T) bool) (one T, ok bool) {
	for _, one := range all {
		if fits(one) {
			return one, true
		}
	}
	return one, false
}

// await waits until a condition holds, looked at whenever something was heard.
func (e *Ears) await(ctx context.Context, holds func() bool) bool {
	for {
		e.mu.Lock()
		if holds() {
			e.mu.Unlock()
			return true
		}
		if e.changed == nil {
			e.changed = make(chan struct{})
		}
		changed := e.changed
		e.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
