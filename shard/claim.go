package shard

import (
	"math"
	"time"
)

// turnMissing is the turn of a base without a Lease.
func (s *State) turnMissing(key string, b *base, now time.Time) (Step, time.Duration) {
	switch {
	case b.retired:
		s.forget(key)
		return Step{}, 0
	case b.phase > Unowned: // deleted by hand: it is ours as before
		return Step{Kind: CreateBase, Epoch: b.epoch, Renewed: b.latest}, 0
	case !b.requested:
		s.forget(key)
		return Step{}, 0
	}
	if wait, may := s.mayClaim(key, now); !may {
		return Step{}, wait
	}
	if b.exists && !b.absent { // no watch shows all Leases: that we know none says nothing
		return Step{Kind: ReadBase}, 0
	}
	if left := max(s.missingUntil(b).Sub(now), s.untilNew(b)); left > 0 {
		return Step{}, left
	}
	b.doubt.tried = after(b.epoch)
	if b.exists { // the previous owner's epoch was lost with the Lease; minutes are above it
		b.doubt.tried = max(b.doubt.tried, int32(now.Unix()/60)) // minutes fit until the year 6053
	}
	return Step{Kind: CreateBase, Epoch: b.doubt.tried, Renewed: b.latest}, 0
}

// missingUntil is until when a base's Lease must be missing before others than its
// owner make it anew. An owner that lives makes it anew at once.
func (s *State) missingUntil(b *base) time.Time {
	if !b.exists {
		return time.Time{} // it was never owned
	}
	if b.last != nil {
		if silent, over := s.ended.at(b.last.Holder); over {
			return silent
		}
	}
	return s.unchanged(b.since).Add(s.Missing)
}

// after is the epoch of the next owner. The highest, which only a hand writes, stays.
func after(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return epoch
	}
	return epoch + 1
}

const (
	// coldRetry is how often to ask whether the peers have come.
	coldRetry = 100 * time.Millisecond
	// unownedRetry is how often to ask whether a base that nobody owns is ours to
	// claim: the assignment shifts as bases come and go.
	unownedRetry = 2 * time.Second
)

// mayClaim says whether a base that nobody owns is for us to claim, and after how long
// to ask again where it is not.
func (s *State) mayClaim(key string, now time.Time) (wait time.Duration, may bool) {
	switch {
	case s.draining, s.assignee(key, now) != s.Name: // the assignee asks too
		return unownedRetry, false
	case now.Before(s.joined.Add(s.ColdStart)) && s.members.pending(s.Self): // they may live, and own it
		return coldRetry, false
	}
	return 0, true
}

// turnOthers is the turn of a base whose Lease does not name us.
func (s *State) turnOthers(key string, b *base, now time.Time) (Step, time.Duration) {
	claim := Step{Kind: ClaimBase, Revision: b.lease.Revision, Epoch: after(b.epoch)}
	if b.edited && !s.draining {
		b.doubt.tried = claim.Epoch
		return claim, 0
	}
	b.edited = false
	at, is := s.claimableFrom(b)
	switch is {
	case held:
		return Step{}, 0
	case unknown:
		return Step{Kind: AskMember, Incarnation: b.lease.Holder}, 0
	case free:
	}
	if left := at.Sub(now); left > 0 {
		return Step{}, left
	}
	if wait, may := s.mayClaim(key, now); !may {
		return Step{}, wait
	}
	b.doubt.tried = claim.Epoch
	return claim, 0
}

// availability is whether a base can be claimed from who holds it.
type availability int

const (
	held    availability = iota // by a session that lives, as far as anybody knows
	unknown                     // by a session that nobody here has heard of: the watch may lag
	free                        // from a time on
)

// foreign says whether a base's Lease is of somebody of whom no membership Lease here
// tells: another controller, another installation, or, where the version that wrote it did
// not say which, an unknown session. Nothing but its silence says that it is gone. That a
// membership Lease of ours is not its holder's does not: pods of two installations may have
// one name.
func (s *State) foreign(l *Lease) bool {
	switch {
	case l.Installation != s.installation && l.Installation != "":
		return true
	case l.Holder == "":
		return false
	}
	_, replica := PodOf(l.Holder)
	switch {
	case !replica:
		return true
	case l.Installation == s.installation:
		return false
	}
	_, over := s.ended.at(l.Holder)
	return !over && s.members.of(l.Holder) == nil
}

// Foreign gives the bases whose Lease is of another controller or installation, which
// this replica stands by for.
func (s *State) Foreign() (keys []string) {
	for key, b := range s.bases {
		if b.foreign(s) {
			keys = append(keys, key)
		}
	}
	return keys
}

func (b *base) foreign(s *State) bool {
	return b.phase == Unowned && b.lease != nil && b.lease.Holder != s.Self && s.foreign(b.lease)
}

// claimableFrom says whether a base can be claimed, and from when on where it is free.
func (s *State) claimableFrom(b *base) (from time.Time, is availability) {
	l := b.lease
	silent, over := s.ended.at(l.Holder)
	switch {
	case s.foreign(l):
		return s.unchanged(b.since).Add(l.Duration + s.ForeignGrace), free
	case l.emptied(): // whoever held it puts it right, if it lives
		return s.unchanged(b.since).Add(s.Missing), free
	case l.Holder == "":
		return b.since, free
	case over:
		return silent, free
	case s.members.of(l.Holder) != nil: // it is expired first
		return time.Time{}, held
	default:
		return time.Time{}, unknown
	}
}
