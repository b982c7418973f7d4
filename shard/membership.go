package shard

import (
	"maps"
	"net/netip"
	"slices"
	"time"
)

// Membership is what one replica knows of members and of its own session.
type Membership struct {
	Timing
	// Self is this replica's incarnation, Name its pod.
	Self, Name string
	Session

	members members
	ended   endedSessions
	team    team
	leaving leaving
}

// RenewEvery is how often a base's Lease is renewed: as seldom as Renew says, and more often
// where a member would know too late that we have failed. It may be configured otherwise
// than we are, and it may be the one that is left.
func (s *Membership) RenewEvery() time.Duration {
	if s.Detection == 0 {
		return s.Renew
	}
	return min(s.Renew, max(s.Detection-s.members.slowest(s.FailureTimeout), MinRenew))
}

// Change is what a membership Lease that was seen changes for bases.
type Change struct {
	// Session is an incarnation that is over or of which nobody knows any more: who holds a
	// base in its name is looked at again. Empty for none.
	Session string
	// Team says that others than before may be given bases, or are to have some, or that ours
	// move at another pace.
	Team bool
}

// SeeMember takes in a membership Lease.
func (s *Membership) SeeMember(m Member, now time.Time) Change {
	was := s.members[m.Name]
	if was == nil || m.Revision > was.Revision {
		s.ended.lives(m.Holder)
	}
	switch {
	case was == nil: // it may be dead already, so it counts as seen, not as renewed
		s.members[m.Name] = &member{Member: m, seen: now}
		return Change{Team: s.regroup(now)}
	case m.Revision <= was.Revision:
		return Change{}
	case m.Holder == was.Holder:
		s.members[m.Name] = was.renew(m, now)
		return Change{Team: s.regroup(now)}
	}
	if was.Holder != "" {
		s.ended.end(was.Holder, s.silentAt(was, m, now))
	}
	s.members[m.Name] = &member{Member: m, seen: now, renewed: true}
	return Change{Session: was.Holder, Team: s.regroup(now)}
}

// renewalLag is how much later than a suspicion a member's last renewal may be seen.
const renewalLag = 500 * time.Millisecond

// renew is the member after a change of its Lease by the same session. Who renews moves the
// renew time: a person that asks something of a member does not, and is no sign that it lives.
func (was *member) renew(m Member, now time.Time) *member {
	is := &member{Member: m, seen: now, renewed: true}
	if !m.Linked {
		is.fence = was.Linked || was.fence
	}
	switch {
	case m.Renewed.Equal(was.Renewed):
		is.seen, is.renewed, is.suspected = was.seen, was.renewed, was.suspected
	case now.Sub(was.suspected) < renewalLag: // the renewal was sent before it died
		is.suspected = was.suspected
	}
	return is
}

// silentAt is from when on the holder of a Lease, as it was seen, acts no more, now
// that the Lease names it no more.
func (t Timing) silentAt(was *member, m Member, now time.Time) time.Time {
	switch {
	case !m.vacatedBy(was.Holder): // taken over: it may have renewed since, unseen by us
		return now.Add(t.MayAct(was.Member))
	case m.Released:
		return now
	case m.Renewed.Equal(was.Renewed): // whoever expired it saw the same last renewal as we
		return was.seen.Add(t.MayAct(was.Member))
	default: // a later renewal was missed, which may have let it act for longer
		return now.Add(max(t.MayAct(was.Member), t.MayAct(m)))
	}
}

// vacatedBy says whether the Lease has no holder, and that one was the last.
func (m Member) vacatedBy(incarnation string) bool { return m.Holder == "" && m.Last == incarnation }

// MayAct is how long a member may act after it was seen to renew, by our clock: as it says, for
// it may be configured otherwise than we are, or as we may; and as long as that may be
// while its clock runs slower than ours.
func (t Timing) MayAct(m Member) time.Duration {
	return byAnyClock(max(t.RenewDeadline, m.RenewDeadline))
}

// MemberGone takes in that a membership Lease was deleted, which proves nothing of
// the member: who holds a base in its name is asked about.
func (s *Membership) MemberGone(name string, revision uint64, now time.Time) Change {
	was := s.members[name]
	if was == nil || was.Revision > revision {
		return Change{}
	}
	delete(s.members, name)
	return Change{Session: was.Holder, Team: s.regroup(now)}
}

// Asked takes in what a live read of the membership Lease of an unknown
// incarnation showed; m is nil where there is no such Lease.
func (s *Membership) Asked(incarnation string, m *Member, now time.Time) Change {
	switch {
	case s.members.of(incarnation) != nil: // it was seen meanwhile, and the answer may be older
	case m == nil: // deleted: it goes on until it notices
		s.ended.end(incarnation, now.Add(s.FailureTimeout))
	case m.vacatedBy(incarnation):
		s.ended.end(incarnation, now.Add(s.MayAct(*m)))
	case m.Holder != incarnation: // how long it may act stood in its Lease, and is not known any more
		s.ended.end(incarnation, now.Add(max(s.FailureTimeout, s.MayAct(*m))))
	}
	if m == nil {
		return Change{}
	}
	return s.SeeMember(*m, now)
}

// Succeeded takes in that we took our own membership Lease over from an earlier
// session that is certainly over.
func (s *Membership) Succeeded(incarnation string, now time.Time) { s.ended.end(incarnation, now) }

// Vacant takes in our own membership Lease as it was before we joined: the session that held
// it last, if nobody does, acts no more once its time is over.
func (s *Membership) Vacant(m Member, now time.Time) {
	switch {
	case m.Last == "", !m.vacatedBy(m.Last):
	case m.Released:
		s.ended.end(m.Last, now)
	default:
		s.ended.end(m.Last, now.Add(s.MayAct(m)))
	}
}

// team is who may be given bases.
type team struct {
	able       map[string][]string // by environment, in order; never without anyEnv
	leaving    []string            // who hands its bases over and has not left, in order
	since      time.Time           // both are the same since then
	generation int                 // grows with each change of who is able
	pins       map[string]string   // whom bases are pinned to, by key
	stranded   bool                // this replica is: see Membership.stranded
}

// serving gives who may be given bases of an environment, in order.
func (t team) serving(env string) []string {
	if names, named := t.able[env]; named {
		return names
	}
	return t.able[anyEnv]
}

// beside gives, of those who may be given bases, who may be given any of a member's.
func (t team) beside(m *Member) (names []string) {
	for env, able := range t.able {
		if m.serves(env) {
			names = append(names, able...)
		}
	}
	return names
}

// regroup works out who may be given bases and whom they are pinned to, and says whether that
// changed, or how fast bases move.
func (s *Membership) regroup(now time.Time) bool {
	was := s.team
	is := team{able: s.members.able(), leaving: s.members.leaving(), since: was.since, generation: was.generation, pins: s.members.pins()}
	is.stranded = s.strandedIn(is)
	sameAble, samePins := maps.EqualFunc(is.able, was.able, slices.Equal), maps.Equal(is.pins, was.pins)
	if !sameAble {
		is.generation++
	}
	if !sameAble || !slices.Equal(is.leaving, was.leaving) {
		is.since = now
	}
	s.team = is
	return !sameAble || !samePins || is.stranded != was.stranded
}

// KnowsKey says whether a live member proves itself to its peers with a key of that
// fingerprint.
func (s *Membership) KnowsKey(fingerprint string) bool { return s.members.withKey(fingerprint) }

// MemberAt says whether a live member, this one included, tells that it is at an address.
func (s *Membership) MemberAt(addr netip.Addr) bool { return s.members.at(addr.Unmap()) }
