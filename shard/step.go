package shard

import (
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
	// TransferBase names another member the holder.
	TransferBase
	// ReleaseBase takes our name out and puts none in.
	ReleaseBase
	// DeleteBase deletes the Lease of a base that is no more.
	DeleteBase
	// AskMember reads the membership Lease that would be an unknown holder's.
	AskMember
	// FenceMember has the broker end what a member that lost it may still have open
	// there: what it sent before it gave its bases away must not come after that.
	FenceMember
	// ExpireMember takes the holder out of a silent member's Lease.
	ExpireMember
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
	// To is the member to be given the base (TransferBase).
	To Member
	// Incarnation is the one to be asked about (AskMember).
	Incarnation string
	// Member is the one to be fenced, killed or forgotten, as it was decided on.
	Member Member
	// Was and Became are the phases of a base that is ours before and after this turn.
	// Both are Unowned for every other base.
	Was, Became Phase
}

// Changed says whether the turn changed what may be done for the base.
func (s Step) Changed() bool { return s.Was != s.Became }

// Gained says whether the turn gained the claim of the base.
func (s Step) Gained() bool { return s.Changed() && s.Was == Unowned }

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

// acknowledge is how soon who was given a base writes that it serves it.
const acknowledge = time.Second

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
	was := b.phase()
	if !b.held {
		// Our name stands there: put in by ourselves, given by the holder before, or
		// written by hand, while somebody else may act.
		if left := b.since.Add(s.FailureTimeout).Sub(now); (b.tried == 0 || l.Epoch != b.tried) && !l.Transferred && left > 0 {
			return Step{}, left
		}
		b.held, b.tried, b.edited = true, 0, false
		if b.due.Before(now) {
			b.due = now.Add(s.spread(key, now))
		}
		if l.Transferred {
			b.due = now.Add(acknowledge)
			b.later = now.Add(s.Settle) // who gave it may know better where it belongs
		}
	}
	handed, wait, leaving := s.turnLeaving(key, b, step, now)
	handed.Was, handed.Became = was, b.phase()
	if leaving {
		return handed, wait
	}
	step = handed
	left := b.due.Sub(now)
	if left <= 0 {
		step.Kind = RenewBase
	}
	if !b.leaving.IsZero() {
		b.keep()
		step.Became = b.phase()
		if again := b.later.Sub(now); again > 0 {
			left = min(left, again)
		}
	}
	return step, max(left, 0)
}

// Wrote takes in that a step's write succeeded; l is the Lease as written. It says
// whether a claim ended by it, unless that was seen before.
func (s *State) Wrote(key string, step Step, l Lease, now time.Time) End {
	b := s.base(key, now)
	b.doubt, b.proof = false, false
	end := s.SeeBase(key, l, now)
	switch step.Kind {
	case CreateBase, ClaimBase, RenewBase:
		b.due = now.Add(s.spread(key, now))
	case TransferBase, ReleaseBase:
		b.drop()
	default: // nothing else writes
	}
	return end
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
	if step.Kind == TransferBase || step.Kind == ReleaseBase {
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
