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
	// Transferred says that the holder was named by the one before, and has not acted
	// yet.
	Transferred bool
	// Renewed is renewTime, by the clock of who wrote it: compared, never
	// subtracted from our own.
	Renewed time.Time
	// Duration is what the holder promises to renew within.
	Duration time.Duration
	// Installation is that of who wrote it last; empty where a version wrote it that did
	// not say so, or somebody else.
	Installation string
}

// emptied says whether a person took the holder out: who releases a base says so.
func (l Lease) emptied() bool { return l.Holder == "" && !l.Released }

// End is how a claim ended, if it did.
type End int

// A claim that was Transferred or Released ended by what we wrote ourselves, one that
// was Lost by somebody else.
const (
	NoEnd End = iota
	Lost
	Transferred
	Released
)

// SeeBase takes in a base's Lease, from a watch, a read or the answer to a write.
// It says how a claim ended by it; what is seen twice is reported once.
func (s *State) SeeBase(key string, l Lease, now time.Time) (end End) {
	b := s.base(key, now)
	switch {
	case b.lease == nil, l.Revision > b.lease.Revision:
		end = b.changed(l, now)
	case l.Revision < b.lease.Revision:
		return NoEnd
	default: // an answer that comes after it was seen that the Lease was taken up
		l.Transferred = l.Transferred && b.lease.Transferred
	}
	if b.phase > Unowned {
		switch {
		case l.Holder != s.Self:
			b.edited = editedByHand(b.lease, l)
			end = cmp.Or(end, Lost)
			b.drop()
		case l.Epoch < b.epoch: // edited by hand; the next renewal puts it right
			l.Epoch = b.epoch
		}
	}
	s.observe(b, &l, b.last)
	b.epoch = max(b.epoch, l.Epoch)
	b.latest = later(b.latest, l.Renewed)
	s.took(key, b.lease)
	return end
}

// changed takes in that a Lease is another than before, and says whether that shows
// that a transfer of ours was written: a watch may show it before the answer comes, or
// the answer may be lost.
func (b *base) changed(l Lease, now time.Time) End {
	b.since = now
	b.edited = b.edited && sameRenewal(b.lease, l)
	step := b.doubt.transfer
	b.doubt.transfer, b.doubt.inFlight = nil, false
	switch {
	case step == nil, step.To.Holder != l.Holder, step.Epoch != l.Epoch:
		return NoEnd
	case step.Kind == ReleaseBase:
		return Released
	}
	return Transferred
}

// editedByHand says whether it was a person who took our name out of a Lease. Whoever
// else does it renews the Lease or says why, and may act for the base from then on; a
// name that a person wrote stands for nobody.
func editedByHand(was *Lease, is Lease) bool {
	switch {
	case is.Transferred: // only who owned it writes that
		return false
	case was == nil: // deleted and made anew
		return false
	default:
		return sameRenewal(was, is) || is.emptied()
	}
}

// sameRenewal says whether a Lease was not renewed between two looks. A Lease that was
// not there before was.
func sameRenewal(was *Lease, is Lease) bool { return was != nil && is.Renewed.Equal(was.Renewed) }

// BaseGone takes in that a base has no Lease. Revision is that of the deletion, 0
// where a read found none. Last is the Lease as it was deleted, nil where that is not
// known.
func (s *State) BaseGone(key string, revision uint64, last *Lease, now time.Time) {
	b := s.bases[key]
	switch {
	case b == nil:
		return
	case b.lease == nil && b.absent:
	case b.lease == nil:
		b.since = now
	case revision != 0 && revision < b.lease.Revision: // it was made anew since
		return
	default:
		b.since = now
		if !b.claimable(last, s.ended) {
			b.requested = false // whoever retired it knows best; the next message of the base requests it again
		}
	}
	b.absent = true
	s.observe(b, nil, last)
	if last != nil {
		b.epoch, b.latest = max(b.epoch, last.Epoch), later(b.latest, last.Renewed)
	}
	b.doubt = doubt{}
	s.took(key, nil)
	if !b.requested && b.phase == Unowned {
		s.forget(key)
	}
}

// Left takes in that a watch which shows the Leases of our own bases shows one no more: it was
// deleted, or its labels name another owner. Revision is that of the change, 0 where a list
// had it no more, though nobody saw why. Unless that is known already, it is read: it may be
// anything by now. What we are about to write of a handover answers for itself. It says
// whether the Lease is to be read.
func (s *State) Left(key string, revision uint64) (unread bool) {
	b := s.bases[key]
	switch {
	case b == nil, b.lease == nil:
		return false
	case revision != 0 && (revision <= b.lease.Revision || b.doubt.transfer != nil):
		return false
	}
	b.doubt.unread = true
	return true
}

// Rested takes in that a watch which shows the Leases that change hands, or that are of others,
// shows one no more; revision is as for Left. Whoever it names has taken it up: it was renewed,
// or we would have been shown another holder. Where it named nobody, or somebody of another
// installation, it is read who has it now. If it was deleted, its owner or a list will tell.
// It says whether the Lease is to be read.
func (s *State) Rested(key string, revision uint64) (unread bool) {
	b := s.bases[key]
	switch {
	case b == nil, b.lease == nil, b.phase > Unowned, b.lease.Holder == s.Self:
		return false
	case revision != 0 && revision <= b.lease.Revision:
		return false
	case b.lease.Holder == "", s.foreign(b.lease):
		b.doubt.unread = true
		return true
	}
	l := *b.lease // its revision stays: what else is in the Lease is not known
	l.Transferred = false
	b.lease = &l
	s.took(key, b.lease)
	return false
}

// Unlisted takes in that a list of all bases' Leases, of a revision, had none of a base. It
// was deleted, unless what is known of it is newer than the list; gone says so. One that may
// be ours is read, for we act for it.
func (s *State) Unlisted(key string, revision uint64, now time.Time) (gone, unread bool) {
	b := s.bases[key]
	switch {
	case b == nil, b.lease == nil:
		return true, false
	case b.lease.Revision > revision:
		return false, false
	case b.phase > Unowned, b.doubt.inFlight, b.lease.Holder == s.Self:
		b.doubt.unread = true
		return false, true
	}
	s.BaseGone(key, revision, nil, now)
	return true, false
}

// claimable says whether a base whose Lease was deleted is still to be owned: ours, or
// one of a session that is over, which nobody retired.
func (b *base) claimable(last *Lease, ended endedSessions) bool {
	switch {
	case b.phase > Unowned:
		return true
	case last == nil:
		return false
	}
	_, over := ended.at(last.Holder)
	return over
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
