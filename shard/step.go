package shard

import (
	"math"
	"time"

	"github.com/cespare/xxhash/v2"
)

// Kind is what a Step does.
type Kind int

// The steps. Those that write compare and swap: they name the revision that they
// were decided on.
const (
	Nothing Kind = iota
	// ReadBase reads a base's Lease, to know what became of a write in doubt.
	ReadBase
	// CreateBase makes a base's Lease, held by us; it fails where there is one.
	CreateBase
	// ClaimBase puts our name into a base's Lease.
	ClaimBase
	// RenewBase renews a base's Lease, held by us.
	RenewBase
	// GiveBase names another member the holder.
	GiveBase
	// ReleaseBase takes our name out and puts none in.
	ReleaseBase
	// DeleteBase deletes the Lease of a base that is no more.
	DeleteBase
	// AskMember reads the membership Lease that would be an unknown holder's.
	AskMember
	// FenceMember has the broker end what a member that lost it may still have open
	// there: what it sent before it gave its bases away must not come after that.
	FenceMember
	// KillMember takes the holder out of a silent member's Lease.
	KillMember
	// ForgetMember deletes the Lease of a member that left long ago.
	ForgetMember
)

// Step is one thing to be done.
type Step struct {
	Kind Kind
	// Revision is the base's Lease's, as it was decided on.
	Revision uint64
	// Epoch is that to be written.
	Epoch int32
	// Renewed is the latest renew time of a Lease that was there before (CreateBase).
	Renewed time.Time
	// To is the member to be given the base (GiveBase).
	To Member
	// Incarnation is the one to be asked about (AskMember).
	Incarnation string
	// Member is the one to be fenced, killed or forgotten, as it was decided on.
	Member Member
	// Gained, Leaving and Stays say that the right to act for the base changed with
	// this look: it was gained, may only finish what is under way, or need not be
	// handed over after all.
	Gained, Leaving, Stays bool
}

// Turn gives the one step that a base needs now, and how long until it needs a
// look; 0 means not by itself. A replica that may not act has no steps: every base
// needs a look when Renewed says that it may again.
func (s *State) Turn(key string, now time.Time) (Step, time.Duration) {
	b := s.bases[key]
	switch {
	case b == nil || !s.Valid(now):
		return Step{}, 0
	case b.doubt:
		return Step{Kind: ReadBase}, 0
	case b.lease == nil:
		return s.turnMissing(key, b, now)
	case b.lease.Holder == s.Self:
		return s.turnOurs(key, b, now)
	}
	return s.turnOthers(key, b, now)
}

func (s *State) turnMissing(key string, b *base, now time.Time) (Step, time.Duration) {
	switch {
	case b.held && !b.retire: // deleted by hand
		return Step{Kind: CreateBase, Epoch: b.epoch, Renewed: b.latest}, 0
	case !b.wished || b.retire:
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
	// acknowledge is how soon who was given a base writes that it serves it.
	acknowledge = time.Second
	// successorLook is how often it is looked whether a silent successor speaks.
	successorLook = 200 * time.Millisecond
)

func (s *State) turnOurs(key string, b *base, now time.Time) (Step, time.Duration) {
	l := b.lease
	step := Step{Revision: l.Revision, Epoch: l.Epoch}
	if b.retire {
		b.drop()
		step.Kind, b.tried = DeleteBase, l.Epoch
		return step, 0
	}
	if b.proof { // our own giving may be on its way still; what it compares with must go
		step.Kind = RenewBase
		return step, 0
	}
	if !b.held {
		// Our name stands there: put in by ourselves, given by the holder before, or
		// written by hand, while somebody else may act.
		if left := b.since.Add(s.Patience).Sub(now); (b.tried == 0 || l.Epoch != b.tried) && !l.Given && left > 0 {
			return Step{}, left
		}
		b.held, b.tried, b.edited = true, 0, false
		step.Gained = true
		if b.due.Before(now) {
			b.due = now.Add(s.spread(key, now))
		}
		if l.Given {
			b.due = now.Add(acknowledge)
			b.later = now.Add(s.Settle) // who gave it may know better where it belongs
		}
	}
	if handed, wait, leaving := s.turnLeaving(key, b, step, now); leaving {
		return handed, wait
	}
	if !b.leaving.IsZero() {
		b.leaving, b.yielded, step.Stays = time.Time{}, false, true
	}
	left := b.due.Sub(now)
	if left <= 0 {
		step.Kind = RenewBase
	}
	return step, max(left, 0)
}

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
		b.leaving, b.yielded, b.slot, step.Leaving = now, false, time.Time{}, true
	}
	if left := b.leaving.Add(s.Handover).Sub(now); !b.yielded && left > 0 {
		return step, left, true
	}
	if self := s.members[s.Name]; !b.yielded && !s.draining && self != nil && self.Linked {
		// What is not answered may be on its way still, and must not come after what
		// the next owner says. There is no hurry: the owner lives, and goes on.
		b.later = now.Add(s.Settle)
		return step, 0, false
	}
	step.Epoch = after(step.Epoch)
	if step.Kind = GiveBase; to.Name == "" {
		step.Kind = ReleaseBase
	}
	step.To = to
	return step, 0, true
}

// successor is the member that a base we hold is to be given to, and how long that
// must wait. A member without a name means nobody.
func (s *State) successor(key string, b *base, now time.Time) (to Member, wait time.Duration, leaves bool) {
	name := s.wanted(key, now)
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
	case b.leaving.IsZero() && now.Sub(m.seen) > s.Act:
		return m.Member, successorLook, true // it may be dying
	case s.draining:
		return m.Member, 0, true
	}
	if left := s.teamSince.Add(s.Settle).Sub(now); left > 0 {
		return m.Member, left, b.leaving.IsZero()
	}
	return m.Member, s.untilSlot(b, now), true
}

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
			return m.seen.Add(s.Hinted), false
		}
		return time.Time{}, false
	}
	return time.Time{}, true
}

// Wrote takes in that a step's write succeeded; l is the Lease as written. It says
// whether a claim ended by it.
func (s *State) Wrote(key string, step Step, l Lease, now time.Time) (lost bool) {
	b := s.base(key, now)
	b.doubt, b.proof = false, false
	switch step.Kind {
	case CreateBase, ClaimBase, RenewBase:
		b.due = now.Add(s.spread(key, now))
	case GiveBase, ReleaseBase:
		b.drop()
		lost = true
	default: // nothing else writes
	}
	s.SeeBase(key, l, now)
	return lost
}

// spread is when a Lease is renewed next, so that bases claimed at once are not
// renewed at once for ever.
func (s *State) spread(key string, now time.Time) time.Duration {
	part := mix(xxhash.Sum64String(key), uint64(now.UnixNano())) % 200
	return s.Renew - s.Renew*time.Duration(part)/1000
}

// Doubted takes in that it is not known what became of a step's write, or that it
// met another one. It says whether the base may not be acted for until that is
// known: a base that was being given may be the other's already.
func (s *State) Doubted(key string, step Step) (lost bool) {
	b := s.bases[key]
	if b == nil {
		return false
	}
	b.doubt = true
	if step.Kind == GiveBase || step.Kind == ReleaseBase {
		b.drop()
		b.proof, b.tried = true, step.Epoch-1 // if it did not happen, the base is still ours
		return true
	}
	return false
}

// Resolved takes in that a base's Lease was read after a write in doubt.
func (s *State) Resolved(key string) {
	if b := s.bases[key]; b != nil {
		b.doubt = false
	}
}

// Deleted takes in that the Lease of a base that is no more was deleted.
func (s *State) Deleted(key string) {
	if b := s.bases[key]; b != nil {
		b.drop()
		s.forget(key)
	}
}
