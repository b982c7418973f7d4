package shard

import (
	"math"
	"time"
)

func (s *State) turnMissing(key string, b *base, now time.Time) (Step, time.Duration) {
	switch {
	case b.held && !b.retire: // deleted by hand
		return Step{Kind: CreateBase, Epoch: b.epoch, Renewed: b.latest}, 0
	case !b.requested || b.retire:
		s.forget(key)
		return Step{}, 0
	}
	if wait, may := s.mayClaim(key, now); !may {
		return Step{}, wait
	}
	if left := s.missingUntil(b).Sub(now); b.known && left > 0 && !Without("missing-waits") {
		return Step{}, left
	}
	b.tried = after(b.epoch)
	if b.known {
		// Whoever owned it had an epoch that went with the Lease.
		b.tried = max(b.tried, int32(now.Unix()/60)) //nolint:gosec // minutes fit until the year 6053
	}
	return Step{Kind: CreateBase, Epoch: b.tried, Renewed: b.latest}, 0
}

// missingUntil is how long a base's Lease must be missing before others than its owner
// make it anew. An owner that lives does so at once; one that is certainly dead does
// not.
func (s *State) missingUntil(b *base) time.Time {
	if b.last != nil {
		if silent, dead := s.ended[b.last.Holder]; dead {
			return silent
		}
	}
	return s.unchanged(b).Add(s.Missing)
}

// unchanged is since when a base's Lease, or that there is none, is as it is; time in
// which our own link was down, or everybody's, proves nothing.
func (s *State) unchanged(b *base) time.Time {
	if s.clear.After(b.since) {
		return s.clear
	}
	return b.since
}

// after is the epoch of the next owner. The highest, which only a hand writes, stays.
func after(epoch int32) int32 {
	if epoch == math.MaxInt32 {
		return epoch
	}
	return epoch + 1
}

// mayClaim says whether a base that nobody owns is for us to claim.
func (s *State) mayClaim(key string, now time.Time) (time.Duration, bool) {
	if s.draining || s.wanted(key, now) != s.Name {
		return unownedLook, false // whoever should have it looks too
	}
	if s.peersPending(now) {
		return coldLook, false
	}
	return 0, true
}

const (
	// coldLook is how often it is looked whether the peers have come.
	coldLook = 100 * time.Millisecond
	// unownedLook is how often it is looked whether a base that nobody owns is
	// ours: the assignment shifts as bases come and go.
	unownedLook = 2 * time.Second
)

func (s *State) turnOthers(key string, b *base, now time.Time) (Step, time.Duration) {
	l := b.lease
	step := Step{Kind: ClaimBase, Revision: l.Revision, Epoch: after(b.epoch)}
	if b.edited && !s.draining {
		b.tried = step.Epoch
		return step, 0
	}
	b.edited = false
	at, ask := s.freeAt(b)
	if ask {
		return Step{Kind: AskMember, Incarnation: l.Holder}, 0
	}
	if at.IsZero() {
		return Step{}, 0
	}
	if left := at.Sub(now); left > 0 {
		return Step{}, left
	}
	if wait, may := s.mayClaim(key, now); !may {
		return Step{}, wait
	}
	b.tried = step.Epoch
	return step, 0
}

// freeAt is when a base may be taken from who holds it; zero means not while that
// one lives. Ask says that nothing is known of the holder.
func (s *State) freeAt(b *base) (at time.Time, ask bool) {
	l := b.lease
	if l.Holder == "" && l.Released {
		return b.since, false
	}
	if l.Holder == "" { // taken out by hand: whoever held it puts it right, if it lives
		return s.unchanged(b).Add(s.Missing), false
	}
	if silent, ok := s.ended[l.Holder]; ok {
		return silent, false
	}
	pod, ours := PodOf(l.Holder)
	if !ours {
		return s.unchanged(b).Add(l.Duration + s.ForeignGrace), false
	}
	if m := s.members[pod]; m != nil && m.Holder == l.Holder {
		if Without("kill-before-claim") {
			return m.seen.Add(s.SuspicionTimeout), false
		}
		return time.Time{}, false
	}
	return time.Time{}, true
}
