package shard

import (
	"cmp"
	"time"
)

// Lease is a base's Lease as it was seen.
type Lease struct {
	// Holder is the incarnation that owns the base, or what somebody else wrote.
	Holder string
	// Epoch is leaseTransitions.
	Epoch int32
	// Revision is the resource version; it only grows.
	Revision uint64
	// Released says that there is no Holder because the one before wrote so.
	Released bool
	// Transferred says that the holder was named by the one before, and has not acted yet.
	Transferred bool
	// Renewed is renewTime, by the clock of who wrote it: compared, never
	// subtracted from our own.
	Renewed time.Time
	// Duration is what the holder promises to renew within.
	Duration time.Duration
}

// End is how a claim ended, if it did.
type End int

// A claim that was Transferred or Released ended by what we wrote ourselves, one that was Lost
// by somebody else.
const (
	NoEnd End = iota
	Lost
	Transferred
	Released
)

// SeeBase takes in a base's Lease, from a watch, a read or the answer to a write.
// It says how a claim ended by it; what is seen twice is said once.
func (s *State) SeeBase(key string, l Lease, now time.Time) (end End) {
	b := s.base(key, now)
	if b.lease != nil && l.Revision < b.lease.Revision {
		return NoEnd
	}
	if b.lease == nil || l.Revision != b.lease.Revision {
		b.since = now
		b.proof = false // what a write of ours in doubt compares with is no more
		b.edited = b.edited && b.lease != nil && l.Renewed.Equal(b.lease.Renewed)
		end = b.given(l)
	}
	if l.Holder != s.Self && b.held {
		b.edited = b.lease != nil && !l.Transferred && (l.Renewed.Equal(b.lease.Renewed) || l.Holder == "" && !l.Released)
		end = cmp.Or(end, Lost)
		b.drop()
	}
	if l.Holder == s.Self && b.held && l.Epoch < b.epoch {
		l.Epoch = b.epoch // edited by hand; the next renewal puts it right
	}
	b.lease, b.epoch = &l, max(b.epoch, l.Epoch)
	b.latest = later(b.latest, l.Renewed)
	return end
}

// given says whether a changed Lease shows that what gives the base away was written. A
// watch may show it before the answer comes, or the answer may be lost. Once the Lease
// is another than it was decided on, it was written or never will be.
func (b *base) given(l Lease) End {
	step := b.giving
	b.giving = nil
	switch {
	case step == nil || l.Holder != step.To.Holder || l.Epoch != step.Epoch:
		return NoEnd
	case step.Kind == ReleaseBase:
		return Released
	}
	return Transferred
}

func (b *base) drop() {
	b.held = false
	b.keep()
}

// keep ends a handover.
func (b *base) keep() { b.leaving, b.ending, b.drained = time.Time{}, time.Time{}, false }

// BaseGone takes in that a base has no Lease. Revision is that of the deletion, 0
// where a read found none. Last is the Lease as it was deleted, nil where that is not
// known.
func (s *State) BaseGone(key string, revision uint64, last *Lease, now time.Time) {
	b := s.bases[key]
	if b == nil || revision != 0 && b.lease != nil && revision < b.lease.Revision {
		return
	}
	dead := false
	if b.last = last; last != nil {
		b.epoch, b.latest = max(b.epoch, last.Epoch), later(b.latest, last.Renewed)
		_, dead = s.ended[last.Holder]
	}
	if b.lease != nil {
		b.since = now
		if !b.held && !dead {
			b.requested = false // whoever retired it knows best; a sign of life wishes again
		}
	}
	b.lease, b.doubt, b.tried, b.giving = nil, false, 0, nil
	if !b.requested && !b.held {
		s.forget(key)
	}
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
