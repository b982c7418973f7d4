package shard

import (
	"cmp"
	"slices"
	"time"
)

// turnOwned is the turn of a base that is ours: it is renewed, or taken a step further
// on its way to another member. Only an Owned base is renewed: a handover takes a few
// seconds at most, and the transfer renews the Lease too.
func (s *State) turnOwned(key string, b *base, now time.Time) (Step, time.Duration) {
	step := Step{Revision: b.lease.Revision, Epoch: b.lease.Epoch}
	b.placement.plan(s.assignee(key, now), now)
	to, leaves := s.successor(b)
	if !leaves {
		s.withdraw(b)
		return b.keep(step, now)
	}
	switch b.phase {
	case Draining:
		return s.turnDraining(b, step, to, now)
	case Forced:
		return s.turnForced(b, step, to, now)
	default: // Owned, which it became at the latest in this turn
	}
	if wait := s.untilMove(b, to, now); wait > 0 {
		s.withdraw(b)
		return b.renewWhileWaiting(step, wait, now)
	}
	if !s.hasTurn(key, b, now) {
		return b.keep(step, now)
	}
	b.become(Draining, now)
	return step, s.Handover
}

// turnDraining waits for what is in flight. The order is the rule: what is drained
// goes, and only what is not is asked whether it must.
func (s *State) turnDraining(b *base, step Step, to *member, now time.Time) (Step, time.Duration) {
	left := b.handover.since.Add(s.Handover).Sub(now)
	switch {
	case s.unsettled(now) > 0: // the team changed since: it may be ours again
		return b.keep(step, now)
	case b.handover.drained:
		return b.transfer(step, to), 0
	case left > 0:
		return step, left
	case s.canWait():
		b.placement.later = now.Add(s.Settle)
		return b.keep(step, now)
	}
	b.become(Forced, now)
	return step, farewell
}

// turnForced waits for what is being written of the base.
func (s *State) turnForced(b *base, step Step, to *member, now time.Time) (Step, time.Duration) {
	left := b.handover.forced.Add(farewell).Sub(now)
	switch {
	case s.unsettled(now) > 0:
		return b.keep(step, now)
	case b.handover.drained:
		return b.transfer(step, to), 0
	case s.canWait(): // the broker is back
		b.placement.later = now.Add(s.Settle)
		return b.keep(step, now)
	case left > 0:
		return step, left
	}
	return b.transfer(step, to), 0
}

// farewell is how long a base whose drain is forced waits for a write of its Node, or
// of a pod's status, to end.
const farewell = time.Second

// canWait says whether a base with something in flight may stay. What is not answered
// may be on its way still, and must not come after what the next owner sends. Whoever
// has the broker and does not drain can try again later.
func (s *State) canWait() bool {
	if s.draining {
		return false
	}
	self := s.members[s.Name]
	return self != nil && self.Linked
}

// keep renews a base that stays ours, when that is due. A handover that was begun is
// called off.
func (b *base) keep(step Step, now time.Time) (Step, time.Duration) {
	wait := max(b.due.Sub(now), 0)
	if wait == 0 {
		step.Kind = RenewBase
	}
	if b.phase == Owned {
		return step, wait
	}
	b.become(Owned, now)
	if again := b.placement.later.Sub(now); again > 0 {
		wait = min(wait, again)
	}
	return step, wait
}

// renewWhileWaiting renews a base that is to be moved later, when that is due.
func (b *base) renewWhileWaiting(step Step, wait time.Duration, now time.Time) (Step, time.Duration) {
	due := b.due.Sub(now)
	if due > 0 {
		return step, min(wait, due)
	}
	step.Kind = RenewBase
	return step, wait
}

// transfer gives a base to another member, or releases it where that is nil.
func (b *base) transfer(step Step, to *member) Step {
	step.Epoch = after(step.Epoch)
	step.Kind = ReleaseBase
	if to != nil {
		step.Kind, step.To = TransferBase, to.Member
	}
	sent := step
	b.doubt.transfer = &sent
	return step
}

// successor is who a base of ours is to be handed over to: nil for nobody, in a drain
// without others. Leaves is false where the base is to stay.
func (s *State) successor(b *base) (to *member, leaves bool) {
	if !s.draining {
		name := b.placement.planned
		to = s.members[name]
		return to, to != nil && name != s.Name
	}
	name := s.afterUs(b)
	to = s.members[name]
	return to, to == nil || name != s.Name
}

// afterUs is who is to have a base when we have left: whom it is pinned to, or its preferred
// owner, which stays the same after our restart.
func (s *State) afterUs(b *base) string {
	switch preferred := b.placement.preferred; preferred {
	case "", s.Name:
		return b.placement.planned
	default:
		return cmp.Or(s.pinned(b), preferred)
	}
}

const (
	// successorRetry is how often to ask whether a silent successor renews.
	successorRetry = 200 * time.Millisecond
	// deafRetry is how often to ask whether one takes up again what it is given.
	deafRetry = time.Second
	// steady is for how long a base should be another member's before it is moved:
	// while bases come, or one is forgotten and seen again, the others shift to and
	// fro.
	steady = 2 * time.Second
)

// untilMove is how long a base must wait before it is one of those that wait for their
// turn. A drain waits for nothing but a successor that may be dying.
func (s *State) untilMove(b *base, to *member, now time.Time) time.Duration {
	var deaf time.Duration
	if to != nil {
		deaf = s.untilHears(to, now)
	}
	again := b.placement.later.Sub(now)
	switch {
	case s.draining:
		return deaf
	case again > 0 && !s.stranded():
		return again
	case deaf > 0:
		return deaf
	}
	if left := s.unsettled(now); left > 0 {
		return left
	}
	return max(b.placement.shifted.Add(steady).Sub(now), 0)
}

// untilHears is after how long to ask again whether a member may be given something: not
// now, for it may be dying, it says that it does not see what it is given, or it has not
// taken up what we gave it.
func (s *State) untilHears(to *member, now time.Time) time.Duration {
	given, waits := s.given[to.Holder]
	switch {
	case now.Sub(to.seen) > s.MayAct(to.Member):
		return successorRetry
	case to.Blind, waits && now.Sub(given.at) > takenUp:
		return deafRetry
	}
	return 0
}

// takenUp is how soon a member renews what it is given. It does so after acknowledge.
const takenUp = 5 * time.Second

// given is the base that a member was given first of those that it has not taken up, as
// far as is remembered: one of each is enough to see that it takes none.
type given struct {
	key string
	at  time.Time
}

// give takes in that a base was given to a member. It may have taken it up already, before
// the answer came.
func (s *State) give(to, key string, now time.Time) {
	if s.given == nil {
		s.given = map[string]given{}
	}
	if _, waits := s.given[to]; !waits && s.bases[key].lease.Transferred {
		s.given[to] = given{key, now}
	}
}

// took takes in what the Lease of a base is now, nil for none: whoever it was given to has
// taken it up, or has it no more.
func (s *State) took(key string, l *Lease) {
	for holder, given := range s.given {
		if given.key != key {
			continue
		}
		if l == nil || l.Holder != holder || !l.Transferred {
			delete(s.given, holder)
		}
	}
}

// unsettled is how long no base is moved to a live member, for the team changed. A
// drain does not wait for that, and who is stranded only until it is clear whether the
// others have the broker.
func (s *State) unsettled(now time.Time) time.Duration {
	switch {
	case s.draining:
		return 0
	case s.stranded():
		return s.team.since.Add(steady).Sub(now)
	}
	return s.team.since.Add(s.Settle).Sub(now)
}

// stranded says whether this replica lost its broker while others have theirs: nobody can
// command its bases, so they move as fast as those of a member that is dead. Who is cordoned
// has its broker: its bases go as those of any member.
func (s *Membership) stranded() bool { return s.team.stranded }

// strandedIn works it out for a team.
func (s *Membership) strandedIn(t team) bool {
	self := s.members[s.Name]
	switch {
	case self == nil, self.Linked && !self.Draining:
		return false
	}
	able := t.beside(&self.Member)
	return len(able) > 0 && !slices.Contains(able, s.Name)
}
