package tunneltest

import (
	"context"
	"slices"
	"sync"

	"module-controller/tunnel"
)

// RecordingSink is a tunnel.Sink that records all that it is given. The zero value is
// ready.
type RecordingSink struct {
	mu sync.Mutex
	// mu guards what follows
	beats   []tunnel.Heartbeat
	reports []tunnel.Report
	links   []tunnel.Link
	changed chan struct{} // closed with the next record; nil while no call waits
	delay   func()        // called before a report is recorded; may be nil
}

// Heartbeat implements tunnel.Sink.
func (s *RecordingSink) Heartbeat(h tunnel.Heartbeat) {
	s.record(func() { s.beats = append(s.beats, h) })
}

// Report implements tunnel.Sink.
func (s *RecordingSink) Report(r tunnel.Report) {
	s.mu.Lock()
	delay := s.delay
	s.mu.Unlock()
	if delay != nil {
		delay()
	}
	s.record(func() { s.reports = append(s.reports, r) })
}

// Link implements tunnel.Sink.
func (s *RecordingSink) Link(l tunnel.Link) {
	s.record(func() { s.links = append(s.links, l) })
}

// slow has delay called before each report is recorded.
func (s *RecordingSink) slow(delay func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.delay = delay
}

// Recorded gives all that was recorded so far.
func (s *RecordingSink) Recorded() Recording {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Recording{slices.Clone(s.beats), slices.Clone(s.reports), slices.Clone(s.links)}
}

// Recording is what a sink was given, each kind with the oldest first.
type Recording struct {
	Beats   []tunnel.Heartbeat
	Reports []tunnel.Report
	Links   []tunnel.Link
}

// Up reports whether the link is up.
func (r Recording) Up() bool { return len(r.Links) > 0 && r.Links[len(r.Links)-1].Up }

// Ups is how often the link came up.
func (r Recording) Ups() int {
	return count(r.Links, func(l tunnel.Link) bool { return l.Up })
}

// Lists is how many lists a base gave.
func (r Recording) Lists(b tunnel.BaseID) int {
	return count(r.Reports, func(r tunnel.Report) bool { return r.Base == b && r.Listed })
}

func count[T any](all []T, fits func(T) bool) (n int) {
	for _, one := range all {
		if fits(one) {
			n++
		}
	}
	return n
}

func (s *RecordingSink) record(add func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	add()
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
}

// mark is how much was recorded up to a moment.
type mark struct{ beats, reports, links int }

func (s *RecordingSink) now() mark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return mark{len(s.beats), len(s.reports), len(s.links)}
}

// beat waits for a heartbeat since a mark that fits.
func (s *RecordingSink) beat(ctx context.Context, since mark, fits func(tunnel.Heartbeat) bool) (h tunnel.Heartbeat, ok bool) {
	ok = s.await(ctx, func() bool { h, ok = first(s.beats[since.beats:], fits); return ok })
	return h, ok
}

func (s *RecordingSink) report(ctx context.Context, since mark, fits func(tunnel.Report) bool) (r tunnel.Report, ok bool) {
	ok = s.await(ctx, func() bool { r, ok = first(s.reports[since.reports:], fits); return ok })
	return r, ok
}

func (s *RecordingSink) link(ctx context.Context, since mark, fits func(tunnel.Link) bool) (l tunnel.Link, ok bool) {
	ok = s.await(ctx, func() bool { l, ok = first(s.links[since.links:], fits); return ok })
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

// await waits until a condition holds, checked whenever something was recorded.
func (s *RecordingSink) await(ctx context.Context, holds func() bool) bool {
	for {
		s.mu.Lock()
		if holds() {
			s.mu.Unlock()
			return true
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-changed:
		case <-ctx.Done():
			return false
		}
	}
}
