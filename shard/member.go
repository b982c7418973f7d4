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
	// RenewDeadline is how long one membership write lets it act, as it says itself;
	// zero where it does not.
	RenewDeadline time.Duration
	// Address is where the member takes what peers forward, host:port.
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
	// Blind says that it does not see what it is given.
	Blind bool
}

// member is a Member and what this replica makes of it.
type member struct {
	Member
	seen      time.Time // it is as it is since then, by our own clock
	renewed   bool      // it was seen otherwise before, so it lives or lived by our own clock
	suspected time.Time // somebody reported that it is gone; zero for nobody
	fence     bool      // it lost the broker, and nobody fenced it since
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

// members are all members that are known, by name.
type members map[string]*member

// of gives the member whose session an incarnation is, nil where its Lease names
// another one or is not known.
func (all members) of(incarnation string) *member {
	pod, _ := PodOf(incarnation)
	if m := all[pod]; m != nil && m.Holder == incarnation {
		return m
	}
	return nil
}

// able gives who may be given bases, in order.
func (all members) able() []string {
	var able, linked []string
	for name, m := range all {
		switch {
		case m.Holder == "", m.Draining:
			continue
		case m.Linked:
			linked = append(linked, name)
		}
		able = append(able, name)
	}
	if len(linked) > 0 {
		able = linked // where nobody is linked, nobody is better than another
	}
	slices.Sort(able)
	return able
}

// pending says whether members other than self have not shown yet that they live.
func (all members) pending(self string) bool {
	for _, m := range all {
		switch {
		case m.Holder == "", m.Holder == self, m.renewed:
		default:
			return true
		}
	}
	return false
}

// live is how many members live.
func (all members) live() (n int) {
	for _, m := range all {
		if m.Holder != "" {
			n++
		}
	}
	return n
}

// endedSessions are sessions that are over, by incarnation: each acts no more from a
// time on. The earliest time that is certain counts.
type endedSessions map[string]time.Time

func (e endedSessions) end(incarnation string, silent time.Time) {
	if at, ok := e[incarnation]; !ok || silent.Before(at) {
		e[incarnation] = silent
	}
}

// Membership is what one replica knows of members and of its own session.
type Membership struct {
	Timing
	// Self is this replica's incarnation, Name its pod.
	Self, Name string
	Session

	members members
	ended   endedSessions
	team    team
}

// SeeMember takes in a membership Lease. Changed says that every base is to be
// reconciled: a session began or ended, or the team changed.
func (s *Membership) SeeMember(m Member, now time.Time) (changed bool) {
	was := s.members[m.Name]
	switch {
	case was == nil: // it may be dead already, so it counts as seen, not as renewed
		s.members[m.Name] = &member{Member: m, seen: now}
		s.regroup(now)
		return true
	case m.Revision <= was.Revision:
		return false
	case m.Holder == was.Holder:
		s.members[m.Name] = was.renew(m, now)
		return s.regroup(now)
	}
	if was.Holder != "" {
		s.ended.end(was.Holder, s.silentAt(was, m, now))
	}
	s.members[m.Name] = &member{Member: m, seen: now, renewed: true}
	s.regroup(now)
	return true
}

// renewalLag is how much later than a suspicion a member's last renewal may be seen.
const renewalLag = 500 * time.Millisecond

// renew is the member after a change of its Lease by the same session.
func (was *member) renew(m Member, now time.Time) *member {
	is := &member{Member: m, seen: now, renewed: true}
	if !m.Linked {
		is.fence = was.Linked || was.fence
	}
	if now.Sub(was.suspected) < renewalLag { // the renewal was sent before it died
		is.suspected = was.suspected
	}
	return is
}

// silentAt is from when on the holder of a Lease, as it was seen, acts no more, now
// that the Lease names it no more.
func (t Timing) silentAt(was *member, m Member, now time.Time) time.Time {
	switch {
	case !m.vacatedBy(was.Holder): // taken over: it may have renewed since, unseen by us
		return now.Add(t.deadlineOf(was.Member))
	case m.Released:
		return now
	case m.Renewed.Equal(was.Renewed): // whoever expired it saw the same last renewal as we
		return was.seen.Add(t.deadlineOf(was.Member))
	default: // a later renewal was missed, which may have let it act for longer
		return now.Add(max(t.deadlineOf(was.Member), t.deadlineOf(m)))
	}
}

// vacatedBy says whether the Lease has no holder, and that one was the last.
func (m Member) vacatedBy(incarnation string) bool { return m.Holder == "" && m.Last == incarnation }

// deadlineOf is how long a member may act after it renewed: as it says, for it may be
// configured otherwise than we are, or as we may.
func (t Timing) deadlineOf(m Member) time.Duration { return max(t.RenewDeadline, m.RenewDeadline) }

// MemberGone takes in that a membership Lease was deleted, which proves nothing of
// the member: who holds a base in its name is asked about. Changed says that every
// base is to be reconciled for that.
func (s *Membership) MemberGone(name string, revision uint64, now time.Time) (changed bool) {
	if was := s.members[name]; was == nil || was.Revision > revision {
		return false
	}
	delete(s.members, name)
	s.regroup(now)
	return true
}

// Asked takes in what a live read of the membership Lease of an unknown
// incarnation showed; m is nil where there is no such Lease.
func (s *Membership) Asked(incarnation string, m *Member, now time.Time) (changed bool) {
	if m == nil { // deleted: it goes on until it notices
		s.ended.end(incarnation, now.Add(s.FailureTimeout))
		return false
	}
	if m.Holder != incarnation {
		s.ended.end(incarnation, now.Add(s.deadlineOf(*m)))
	}
	return s.SeeMember(*m, now)
}

// Succeeded takes in that we took our own membership Lease over from an earlier
// session that is certainly over.
func (s *Membership) Succeeded(incarnation string, now time.Time) { s.ended.end(incarnation, now) }

// team is who may be given bases.
type team struct {
	names      []string  // in order
	since      time.Time // it is the same since then
	generation int       // grows with each change
}

// regroup works out who may be given bases, and says whether that changed.
func (s *Membership) regroup(now time.Time) bool {
	able := s.members.able()
	if slices.Equal(able, s.team.names) {
		return false
	}
	s.team = team{able, now, s.team.generation + 1}
	return true
}
