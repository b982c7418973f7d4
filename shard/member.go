package shard

import (
	"maps"
	"net/netip"
	"slices"
	"strings"
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
	// FailureTimeout is how long a Lease must stay unchanged before the member expires who
	// holds it, as its own Lease's duration says; zero where that says nothing.
	FailureTimeout time.Duration
	// Address is where the member takes what peers forward, host:port.
	Address string
	// PeerKey is the fingerprint of the key that the member proves itself with there.
	PeerKey string
	// Last is, of an empty Holder, the incarnation that held it last. Released says
	// that it left by itself.
	Last     string
	Released bool
	// Renewed is renewTime, by the clock of who wrote it: compared, never subtracted
	// from our own.
	Renewed time.Time
	// Will is the hash of what the broker publishes when it loses the member's
	// connection; empty where it has none.
	Will string
	// Serves are the environments whose bases it can own; nil means all, for a version
	// that does not say.
	Serves []string
	// Draining says that it hands its bases over, Linked that its tunnels are up.
	Draining, Linked bool
	// Blind says that it does not see what it is given.
	Blind bool
	Requests
}

// member is a Member and what this replica makes of it.
type member struct {
	Member
	seen      time.Time // it is as it is since then, by our own clock
	renewed   bool      // it was seen otherwise before, so it lives or lived by our own clock
	suspected time.Time // somebody reported that it is gone; zero for nobody
	fence     bool      // it lost the broker, and nobody fenced it since
}

// PodOf gives the member's name in an incarnation, "<pod>_<8 hex digits>". It is asked for
// each base of others, so it is quick.
func PodOf(incarnation string) (pod string, ok bool) {
	end := len(incarnation) - 1 - sessionDigits
	if end < 1 || end > longestName || incarnation[end] != '_' {
		return "", false
	}
	pod, session := incarnation[:end], incarnation[end+1:]
	if !isName(pod) || strings.Trim(session, "0123456789abcdef") != "" {
		return "", false
	}
	return pod, true
}

// sessionDigits is how many digits tell the sessions of a pod apart, longestName how long the
// name of a Lease may be.
const sessionDigits, longestName = 8, 253

// isName says whether a pod, and so its membership Lease, may have a name.
func isName(name string) bool {
	for i := range len(name) {
		switch c := name[i]; {
		case c >= 'a' && c <= 'z', c >= '0' && c <= '9':
		case (c == '-' || c == '.') && i > 0 && i < len(name)-1:
		default:
			return false
		}
	}
	return true
}

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

// withKey says whether a live member proves itself with a key.
func (all members) withKey(fingerprint string) bool {
	for _, m := range all {
		if m.Holder != "" && m.PeerKey == fingerprint {
			return fingerprint != ""
		}
	}
	return false
}

// at says whether a live member takes heartbeats at an address.
func (all members) at(addr netip.Addr) bool {
	for _, m := range all {
		if m.Holder == "" {
			continue
		}
		if is, err := netip.ParseAddrPort(m.Address); err == nil && is.Addr().Unmap() == addr {
			return true
		}
	}
	return false
}

// serves says whether a member can own the bases of an environment.
func (m *Member) serves(env string) bool { return m.Serves == nil || slices.Contains(m.Serves, env) }

// anyEnv stands for every environment that no member names.
const anyEnv = ""

// able gives who may be given bases, by environment.
func (all members) able() map[string][]string {
	able := map[string][]string{anyEnv: all.ableFor(anyEnv)}
	for _, m := range all {
		for _, env := range m.Serves {
			if _, known := able[env]; !known {
				able[env] = all.ableFor(env)
			}
		}
	}
	return able
}

// ableFor gives who may be given bases of an environment, in order: those that stand best.
func (all members) ableFor(env string) (able []string) {
	best, obeyed := unlinked, all.obey()
	for name, m := range all {
		is := m.standing(obeyed)
		switch {
		case m.Holder == "", m.Draining, !m.serves(env), is < best:
			continue
		case is > best:
			best, able = is, nil
		}
		able = append(able, name)
	}
	slices.Sort(able)
	return able
}

// leaving gives who hands its bases over and has not left, in order.
func (all members) leaving() (names []string) {
	for name, m := range all {
		if m.Holder != "" && m.Draining {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

// othersServe says whether any live member but one can own the bases of an environment.
func (all members) othersServe(name, env string) bool {
	return slices.ContainsFunc(all.ableFor(env), func(other string) bool { return other != name })
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

// slowest is how long the one takes that takes longest to know that another has failed; at
// least as long as we do.
func (all members) slowest(ours time.Duration) time.Duration {
	for _, m := range all {
		if m.Holder != "" {
			ours = max(ours, m.FailureTimeout)
		}
	}
	return ours
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
