package shard

import (
	"regexp"
	"slices"
	"time"
)

// Member is a replica as its membership Lease tells of it.
type Member struct {
	// Name is the Lease's name, which is the pod's and what bases are assigned to.
	Name string
	// Holder is the incarnation that lives, empty for none.
	Holder string
	// Revision is the Lease's resource version; it only grows.
	Revision uint64
	// RenewDeadline is how long one membership write lets it act, as it says itself; zero where
	// it does not.
	RenewDeadline time.Duration
	// Address is where the member takes what peers pass on, host:port.
	Address string
	// Last is, of an empty Holder, the incarnation that held it last. Released says
	// that it left by itself.
	Last     string
	Released bool
	// Renewed is renewTime, by the clock of who wrote it: compared, never subtracted
	// from our own.
	Renewed time.Time
	// Draining says that it hands its bases over, Linked that its tunnels are up.
	Draining, Linked bool
}

// member is a Member and what this replica makes of it.
type member struct {
	Member
	seen      time.Time // when it was first seen as it is, by our own clock
	renewed   bool      // it was seen otherwise before
	suspected time.Time // somebody said that it is gone; zero for nobody
	fence     bool      // it was linked and is not
}

// PodOf gives the member's name in an incarnation, "<pod>_<8 hex digits>".
func PodOf(incarnation string) (pod string, ok bool) {
	m := incarnationForm.FindStringSubmatch(incarnation)
	if m == nil {
		return "", false
	}
	return m[1], true
}

// incarnationForm has a pod's name, which is that of a Lease too.
var incarnationForm = regexp.MustCompile(`^([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)_[0-9a-f]{8}$`)

// SeeMember takes in a membership Lease. It says whether the team changed, so that
// every base deserves a look.
func (s *State) SeeMember(m Member, now time.Time) (changed bool) {
	was, known := s.members[m.Name]
	if known && m.Revision <= was.Revision {
		return false
	}
	if known && was.Holder != "" && was.Holder != m.Holder {
		s.end(was.Holder, s.silentAt(was, m, now))
	}
	fence := known && was.Holder == m.Holder && !m.Linked && (was.Linked || was.fence)
	s.members[m.Name] = &member{Member: m, seen: now, renewed: known, fence: fence}
	if known && was.Holder == m.Holder && now.Sub(was.suspected) < renewalLag {
		s.members[m.Name].suspected = was.suspected // the last renewal may come after the hint
	}
	return s.regroup(now) || !known || was.Holder != m.Holder
}

// silentAt is from when on the holder of a Lease, as it was seen, acts no more, now
// that the Lease names it no more.
func (s *State) silentAt(was *member, m Member, now time.Time) time.Time {
	last := m.Holder == "" && m.Last == was.Holder
	switch {
	case last && m.Released:
		return now
	case last && m.Renewed.Equal(was.Renewed):
		return was.seen.Add(s.deadlineOf(was.Member))
	default: // it may have renewed since, unseen by us
		return now.Add(s.deadlineOf(was.Member))
	}
}

// deadlineOf is how long a member may act after it renewed: as it says, for it may have
// been told another time than we, or as we may.
func (s *State) deadlineOf(m Member) time.Duration { return max(s.RenewDeadline, m.RenewDeadline) }

// MemberGone takes in that a membership Lease was deleted, which proves nothing of
// the member: who holds a base in its name is asked about. Changed says that every
// base deserves a look for that.
func (s *State) MemberGone(name string, revision uint64, now time.Time) (changed bool) {
	if was := s.members[name]; was == nil || was.Revision > revision {
		return false
	}
	delete(s.members, name)
	s.regroup(now)
	return true
}

// Asked takes in what a live read of the membership Lease of an unknown
// incarnation showed; m is nil where there is no such Lease.
func (s *State) Asked(incarnation string, m *Member, now time.Time) (changed bool) {
	switch {
	case m == nil && Without("missing-waits"):
		s.end(incarnation, now)
	case m == nil:
		s.end(incarnation, now.Add(s.FailureTimeout))
	case m.Holder != incarnation:
		s.end(incarnation, now.Add(s.deadlineOf(*m)))
	}
	return m != nil && s.SeeMember(*m, now)
}

// Succeeded takes in that we took our own membership Lease over from an earlier
// life that is certainly over.
func (s *State) Succeeded(incarnation string, now time.Time) { s.end(incarnation, now) }

// end notes that an incarnation lives no more and acts no more from a time on.
func (s *State) end(incarnation string, silent time.Time) {
	if at, ok := s.ended[incarnation]; !ok || silent.Before(at) {
		s.ended[incarnation] = silent
	}
}

// Hint takes in that somebody says an incarnation is gone. Fresh says that it was
// not said since it was seen to live.
func (s *State) Suspect(incarnation string, now time.Time) (name string, fresh bool) {
	pod, _ := PodOf(incarnation)
	m := s.members[pod]
	if m == nil || m.Holder != incarnation || incarnation == s.Self || !m.suspected.IsZero() {
		return "", false
	}
	m.suspected = now
	return pod, true
}

// renewalLag is how much later than a hint a member's last renewal may be seen.
const renewalLag = 500 * time.Millisecond

// forgetAfter is how long the Lease of a member that left is kept.
const forgetAfter = 10 * time.Minute

// MemberTurn gives what a member needs now, and how long until it needs a look; 0
// means not by itself.
func (s *State) MemberTurn(name string, now time.Time) (Step, time.Duration) {
	m := s.members[name]
	if m == nil || m.Holder == s.Self || !s.Valid(now) {
		return Step{}, 0
	}
	if m.Holder == "" {
		if left := m.seen.Add(forgetAfter).Sub(now); left > 0 {
			return Step{}, left
		}
		return Step{Kind: ForgetMember, Member: m.Member}, 0
	}
	if m.fence && First(m.Name, s.team) == s.Name && s.members[s.Name].Linked {
		return Step{Kind: FenceMember, Member: m.Member}, 0
	}
	patience := s.FailureTimeout
	if !m.suspected.IsZero() && !s.clear.After(m.seen) { // what was said in an outage of ours may be due to it
		patience = s.SuspicionTimeout
	}
	// Time in which our own link was down is no proof of another's silence.
	since := m.seen
	if s.clear.After(since) {
		since = s.clear
	}
	if left := since.Add(patience).Sub(now); left > 0 || Without("kill-before-claim") {
		return Step{}, left
	}
	return Step{Kind: ExpireMember, Member: m.Member}, 0
}

// Fenced takes in that a member was fenced, or that it could not be.
func (s *State) Fenced(name string) {
	if m := s.members[name]; m != nil {
		m.fence = false
	}
}

// regroup works out who may be given bases, and says whether that changed.
func (s *State) regroup(now time.Time) bool {
	var able, linked []string
	for name, m := range s.members {
		if m.Holder == "" || m.Draining {
			continue
		}
		able = append(able, name)
		if m.Linked {
			linked = append(linked, name)
		}
	}
	if len(linked) > 0 {
		able = linked // where nobody is linked, nobody is better than another
	}
	slices.Sort(able)
	if slices.Equal(able, s.team) {
		return false
	}
	s.team, s.teamSince, s.stale = able, now, true
	return true
}

// peersPending says whether members that were there before us have not shown yet
// that they live.
func (s *State) peersPending(now time.Time) bool {
	for _, m := range s.members {
		if m.Holder != "" && m.Holder != s.Self && !m.renewed && now.Before(s.joined.Add(s.ColdStart)) {
			return true
		}
	}
	return false
}
