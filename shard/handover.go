package shard

import "time"

// turnLeaving hands a base over that should be another's.
func (s *State) turnLeaving(key string, b *base, step Step, now time.Time) (Step, time.Duration, bool) {
	to, wait, leaves := s.successor(key, b, now)
	if !leaves {
		return step, 0, false
	}
	if wait > 0 {
		if due := b.due.Sub(now); due <= 0 {
			step.Kind = RenewBase
		} else {
			wait = min(wait, due)
		}
		return step, wait, true
	}
	if b.leaving.IsZero() {
		b.leaving, b.drained, b.slot = now, false, time.Time{}
	}
	if left := b.leaving.Add(s.Handover).Sub(now); !b.drained && left > 0 {
		return step, left, true
	}
	if self := s.members[s.Name]; !b.drained && !s.draining && self != nil && self.Linked {
		// What is not answered may be on its way still, and must not come after what
		// the next owner says. There is no hurry: the owner lives, and goes on.
		b.later = now.Add(s.Settle)
		return step, 0, false
	}
	if b.ending.IsZero() && !b.drained {
		b.ending = now
	}
	if left := b.ending.Add(farewell).Sub(now); !b.drained && left > 0 {
		return step, left, true
	}
	step.Epoch = after(step.Epoch)
	if step.Kind = TransferBase; to.Name == "" {
		step.Kind = ReleaseBase
	}
	step.To = to
	given := step
	b.giving = &given
	return step, 0, true
}

// farewell is how long a base that is handed over whatever is under way waits for a
// write of its Node, or of a pod's status, to end.
const farewell = time.Second

// successor is the member that a base we hold is to be given to, and how long that
// must wait. A member without a name means nobody.
func (s *State) successor(key string, b *base, now time.Time) (to Member, wait time.Duration, leaves bool) {
	name := s.wanted(key, now)
	if name != b.planned {
		b.planned, b.shifted = name, now
	}
	if home := s.home[key]; s.draining && home != "" && home != s.Name {
		name = home // a guest goes home, where it will belong when we are back too
	}
	m := s.members[name]
	switch {
	case s.draining && m == nil:
		return Member{}, 0, true
	case name == s.Name || m == nil:
		b.slot = time.Time{}
		return Member{}, 0, false
	case !s.draining && b.leaving.IsZero() && now.Before(b.later):
		return m.Member, b.later.Sub(now), true
	case b.leaving.IsZero() && now.Sub(m.seen) > s.RenewDeadline:
		return m.Member, successorLook, true // it may be dying
	case s.draining:
		return m.Member, 0, true
	}
	if left := s.teamSince.Add(s.Settle).Sub(now); left > 0 {
		return m.Member, left, b.leaving.IsZero()
	}
	if left := b.shifted.Add(steady).Sub(now); left > 0 && b.leaving.IsZero() {
		return m.Member, left, true
	}
	return m.Member, s.untilSlot(b, now), true
}

// successorLook is how often it is looked whether a silent successor speaks.
const successorLook = 200 * time.Millisecond

// steady is for how long another member should have a base before it is moved there:
// while bases come, or one is forgotten and seen again, the others shift to and fro.
const steady = 2 * time.Second

// untilSlot is how long a base must wait before it is moved to a live member: each gets
// a time of its own, Pace after the one before.
func (s *State) untilSlot(b *base, now time.Time) time.Duration {
	if !b.leaving.IsZero() {
		return 0
	}
	if b.slot.IsZero() {
		b.slot = later(now, s.nextMove)
		s.nextMove = b.slot.Add(s.Pace)
	}
	return max(b.slot.Sub(now), 0)
}
