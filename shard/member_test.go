package shard

import (
	"fmt"
	"net/netip"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// A member may be configured otherwise than we are: how long it may act after a write
// is read from its Lease, where that is longer. Its clock may run slower than ours.
func TestTheDeadlineOfAMemberIsReadFromItsLease(t *testing.T) {
	for name, c := range map[string]struct{ tells, want time.Duration }{
		"longer than ours":  {9 * time.Second, 9180 * time.Millisecond},
		"shorter than ours": {time.Second, 3570 * time.Millisecond},
		"not told":          {0, 3570 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
			s := NewState(Identity{Incarnation: "mc-0_00000000"}, Timing{})
			lives := Member{Name: "mc-1", Holder: "mc-1_11111111", Revision: 1, RenewDeadline: c.tells, Linked: true, Renewed: now}
			s.SeeMember(Member{Name: "mc-0", Holder: s.Self, Revision: 2, Linked: true}, now)
			s.SeeMember(lives, now)
			s.Renewed(now, now, s.RenewDeadline)
			s.SeeBase("b", Lease{Holder: lives.Holder, Epoch: 1, Revision: 3, Renewed: now}, now)
			expired := lives
			expired.Holder, expired.Last, expired.Revision = "", lives.Holder, 4
			s.SeeMember(expired, now.Add(time.Second))
			s.Renewed(now.Add(time.Second), now.Add(time.Second), s.RenewDeadline)
			if step, wait := s.Turn("b", now.Add(time.Second)); step.Kind != Nothing || wait != c.want-time.Second {
				t.Errorf("a second after its last renewal its base needs step %d in %s, want none for %s", step.Kind, wait, c.want-time.Second)
			}
		})
	}
}

// Peers are known by the keys and addresses of live members alone: what a member that left
// or was expired had is good no more, and the next Pod may have its address.
func TestTheKeysOfMembers(t *testing.T) {
	s, now := NewState(Identity{Incarnation: "mc-0_00000000"}, Timing{}), time.Now()
	see := func(revision uint64, holder, key string) {
		s.SeeMember(Member{Name: "mc-1", Holder: holder, Revision: revision, PeerKey: key, Address: "10.1.1.1:7778"}, now)
	}
	for i, step := range []struct {
		holder, key string
		known       string
	}{
		{"mc-1_11111111", "", ""},
		{"mc-1_11111111", "one", "one"},
		{"", "one", ""},
		{"mc-1_22222222", "two", "two"},
	} {
		see(uint64(i)+1, step.holder, step.key)
		if got, want := s.MemberAt(netip.MustParseAddr("::ffff:10.1.1.1")), step.holder != ""; got != want {
			t.Errorf("step %d: it is at its address: %v, want %v", i, got, want)
		}
		if s.MemberAt(netip.MustParseAddr("10.1.1.2")) {
			t.Errorf("step %d: it is at another address", i)
		}
		for _, key := range []string{"", "one", "two"} {
			if got, want := s.KnowsKey(key), key == step.known && key != ""; got != want {
				t.Errorf("step %d: key %q known: %v, want %v", i, key, got, want)
			}
		}
	}
}

// What the broker says of a lost connection is of who told its hash, and of nobody else:
// not of who tells none, nor of who left.
func TestALostConnectionIsOfWhoToldItsHash(t *testing.T) {
	now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	s := NewState(Identity{Incarnation: "mc-0_00000000"}, Timing{})
	for n, m := range []Member{
		{Name: "mc-0", Holder: s.Self, Will: "a"}, {Name: "mc-1", Holder: "mc-1_11111111", Will: "b"},
		{Name: "mc-2", Holder: "mc-2_22222222"}, {Name: "mc-3", Last: "mc-3_33333333", Will: "c"},
	} {
		m.Revision, m.Renewed = uint64(n+1), now
		s.SeeMember(m, now)
	}
	for hash, want := range map[string]string{"a": s.Self, "b": "mc-1_11111111", "c": "", "d": "", "": ""} {
		if got, ok := s.OfWill(hash); got != want || ok != (want != "") {
			t.Errorf("%q is %q's (%t), want %q", hash, got, ok, want)
		}
	}
	s.SeeMember(Member{Name: "mc-1", Holder: "mc-1_11111111", Will: "e", Revision: 9, Renewed: now.Add(time.Second)}, now.Add(time.Second))
	if got, ok := s.OfWill("b"); ok {
		t.Errorf("of a connection before this one %s is believed gone", got)
	}
}

// Sessions that are over are remembered, but not for ever. One that was forgotten is asked
// about again, so it costs a moment and no more.
func TestSessionsThatAreOverAreForgotten(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := NewState(Identity{Incarnation: "mc-0_00000000"}, Timing{})
	session := func(i int) string { return fmt.Sprintf("mc-1_%08x", i) }
	s.SeeMember(Member{Name: "mc-0", Holder: s.Self, Revision: 1, Linked: true}, now)
	for i := range 2 * pastSessions {
		s.SeeMember(Member{Name: "mc-1", Holder: session(i), Revision: uint64(i + 2), Linked: true}, now)
	}
	if n := s.ended.silent.Len(); n != pastSessions {
		t.Errorf("%d sessions are remembered, want %d", n, pastSessions)
	}
	then := now.Add(time.Minute)
	s.Renewed(then, then, s.RenewDeadline)
	for i, want := range map[int]Kind{0: AskMember, 2*pastSessions - 2: ClaimBase} {
		s.team.able[anyEnv] = []string{"mc-0"}
		s.SeeBase("b", Lease{Holder: session(i), Epoch: 1, Revision: uint64(i + 10), Renewed: now}, then)
		if step, _ := s.Turn("b", then); step.Kind != want {
			t.Errorf("a base of session %d needs step %d, want %d", i, step.Kind, want)
		}
		delete(s.bases, "b")
	}
}

// Who joins under a name knows from when on the session before it acts no more: nobody can
// read it in the Lease any more.
func TestTheSessionBeforeOursIsOver(t *testing.T) {
	const before = "mc-0_before"
	for _, c := range []struct {
		name string
		was  Member
		over bool
		at   time.Duration // after now
	}{
		{"it was expired", Member{Last: before, RenewDeadline: 9 * time.Second}, true, Timing{}.Complete().MayAct(Member{RenewDeadline: 9 * time.Second})},
		{"it left", Member{Last: before, Released: true}, true, 0},
		{"somebody holds the Lease", Member{Last: before, Holder: "mc-0_ours"}, false, 0},
		{"nobody was before", Member{}, false, 0},
	} {
		s := NewState(Identity{Incarnation: "mc-0_ours"}, Timing{})
		now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
		s.Vacant(c.was, now)
		if at, over := s.ended.at(before); over != c.over || over && !at.Equal(now.Add(c.at)) {
			t.Errorf("%s: over %v, from %s on", c.name, over, at.Sub(now))
		}
	}
}

// While it is not known whether a base was handed over, its member may own it yet: who leaves
// says that it owns nothing.
func TestABaseInDoubtMayBeOwned(t *testing.T) {
	for name, c := range map[string]struct {
		base base
		want bool
	}{
		"another's":                        {base{}, false},
		"owned":                            {base{phase: Owned}, true},
		"handed over, and no answer came":  {base{doubt: doubt{inFlight: true}}, true},
		"claimed once, and seen otherwise": {base{doubt: doubt{tried: 3}}, false},
	} {
		s := NewState(Identity{Incarnation: "mc-0_ours"}, Timing{})
		s.bases["b"] = &c.base
		if got := s.OwnsAny(); got != c.want {
			t.Errorf("%s: it owns any: %v", name, got)
		}
	}
}

// incarnations, as a regular expression has them.
var incarnations = regexp.MustCompile(`^([a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?)_[0-9a-f]{8}$`)

// PodOf reads incarnations as the regular expression does, and nothing else.
func TestThePodOfAnIncarnation(t *testing.T) {
	check := func(t interface{ Errorf(string, ...any) }, text string) {
		want := ""
		m := incarnations.FindStringSubmatch(text)
		if m != nil {
			want = m[1]
		}
		if pod, ok := PodOf(text); pod != want || ok != (m != nil) {
			t.Errorf("%q: %q, %v; want %q", text, pod, ok, want)
		}
	}
	for _, text := range []string{"", "_", "_00000000", "a_0000000", "a_00000000", "a_0000000G", "a.-b_0123abcd", "-a_00000000", "a-_00000000", "a_b_00000000",
		strings.Repeat("a", 253) + "_00000000", strings.Repeat("a", 254) + "_00000000", "mc-0", "\u00e4_00000000"} {
		check(t, text)
	}
	rapid.Check(t, func(t *rapid.T) {
		check(t, rapid.StringMatching(`[-a-c0-1._A]{0,4}_?[-0-9a-fG_]{0,9}`).Draw(t, "incarnation"))
	})
}

// A member is waited for until its own deadline is over by its own clock, which may run slower
// than ours by nearly two percent.
func TestAMembersClockMayRunSlow(t *testing.T) {
	timing := Timing{}.Complete()
	for _, tells := range []time.Duration{0, timing.RenewDeadline, 9 * time.Second} {
		deadline := max(timing.RenewDeadline, tells)
		if took, may := deadline+deadline*199/10_000, timing.MayAct(Member{RenewDeadline: tells}); may < took {
			t.Errorf("it tells %s and may act for %s, and its %s take %s by our clock", tells, may, deadline, took)
		}
	}
}
