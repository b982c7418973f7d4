package shard

import "time"

// forgetAfter is how long the Lease of a member that left is kept.
const forgetAfter = 10 * time.Minute

// MemberTurn gives what a member needs now, and after how long to ask again; 0 means
// not by itself.
func (s *Membership) MemberTurn(name string, now time.Time) (Step, time.Duration) {
	m := s.members[name]
	switch {
	case m == nil, m.Holder == s.Self, !s.Valid(now):
		return Step{}, 0
	case m.Holder == "":
		return m.turnFormer(now)
	case s.fences(m): // before it is expired: what it sent must end in any case
		return Step{Kind: FenceMember, Member: m.Member}, 0
	}
	if left := s.failsAt(m).Sub(now); left > 0 {
		return Step{}, left
	}
	return Step{Kind: ExpireMember, Member: m.Member}, 0
}

// turnFormer is the turn of a member that left or was expired.
func (m *member) turnFormer(now time.Time) (Step, time.Duration) {
	if left := m.seen.Add(forgetAfter).Sub(now); left > 0 {
		return Step{}, left
	}
	return Step{Kind: ForgetMember, Member: m.Member}, 0
}

// fences says whether it is for us to fence a member: one does, of those who have the
// broker and may be given its bases.
func (s *Membership) fences(m *member) bool {
	switch {
	case !m.fence:
		return false
	case First(m.Name, s.team.beside(&m.Member)) != s.Name:
		return false
	}
	return s.members[s.Name].Linked // who is in the team is a member
}

// failsAt is when a member counts as failed unless it renews.
func (s *Membership) failsAt(m *member) time.Time {
	timeout := s.FailureTimeout
	if !m.suspected.IsZero() && !s.clearSince.After(m.seen) { // a suspicion in an outage of ours may be due to it
		timeout = min(timeout, s.SuspicionTimeout+max(0, m.RenewDeadline-s.RenewDeadline)) // it renews as slowly as it says
	}
	return s.unchanged(m.seen).Add(timeout)
}

// Suspect takes in a report that an incarnation is gone, which proves nothing: it
// shortens the time after which the member counts as failed. First says that it was
// not reported since the member renewed last.
func (s *Membership) Suspect(incarnation string, now time.Time) (name string, first bool) {
	m := s.members.of(incarnation)
	switch {
	case m == nil, m.Holder == s.Self, !m.suspected.IsZero():
		return "", false
	}
	m.suspected = now
	return m.Name, true
}

// OfWill gives the incarnation whose connection the broker lost, by the hash of what the
// broker published then. Ok is false where it is nobody's who lives.
func (s *Membership) OfWill(hash string) (incarnation string, ok bool) {
	for _, m := range s.members {
		switch {
		case m.Holder == "", m.Will == "", m.Will != hash:
		default:
			return m.Holder, true
		}
	}
	return "", false
}

// Fenced takes in that a member was fenced, or that it could not be.
func (s *Membership) Fenced(name string) {
	if m := s.members[name]; m != nil {
		m.fence = false
	}
}
