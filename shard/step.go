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
	// ReadBase reads a base's Lease, to know what became of a write of ours.
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
	// DeleteBase deletes the Lease of a base that is gone.
	DeleteBase
	// AskMember reads the membership Lease that would be an unknown holder's.
	AskMember
	// FenceMember has the broker end what a member that lost it may still have open
	// there: what it sent before it transferred its bases must not come after that.
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
	// To is the member to own the base (TransferBase); its zero value means nobody.
	To Member
	// Incarnation is the one to be asked about (AskMember).
	Incarnation string
	// Member is the one to be fenced, expired or forgotten, as it was decided on.
	Member Member
	// Was and Became are the phases of a base that is ours before and after this turn.
	// Both are Unowned for every other base.
	Was, Became Phase
}

// Changed says whether the turn changed what may be done for the base.
func (s Step) Changed() bool { return s.Was != s.Became }

// Gained says whether the turn gained the claim of the base.
func (s Step) Gained() bool { return s.Changed() && s.Was == Unowned }

// HandsOver says whether the step writes us out of a base's Lease.
func (s Step) HandsOver() bool { return s.Kind == TransferBase || s.Kind == ReleaseBase }

// Turn gives the one step that a base needs now, and after how long to ask again; 0
// means not by itself. A replica that may not act has no steps: every base is to be
// reconciled when Renewed says that it may again.
func (s *State) Turn(key string, now time.Time) (Step, time.Duration) {
	b := s.bases[key]
	switch {
	case b == nil, !s.Valid(now):
		return Step{}, 0
	case b.doubt.unread: // nothing that is known of the Lease can be relied on
		return Step{Kind: ReadBase}, 0
	case b.lease == nil:
		return s.turnMissing(key, b, now)
	case b.lease.Holder == s.Self:
		return s.turnOurs(key, b, now)
	}
	return s.turnOthers(key, b, now)
}

// turnOurs is the turn of a base whose Lease names us. A base that is gone needs
// nothing else; a base that may be another's needs a write before it can be ours; a
// base that is not ours yet is gained; and only what is ours is renewed or handed over.
func (s *State) turnOurs(key string, b *base, now time.Time) (Step, time.Duration) {
	step := Step{Revision: b.lease.Revision, Epoch: b.lease.Epoch}
	switch {
	case b.retired:
		b.drop()
		step.Kind, b.doubt.tried = DeleteBase, b.lease.Epoch
		return step, 0
	case b.doubt.inFlight:
		step.Kind = RenewBase
		return step, 0
	}
	was := b.phase
	if was == Unowned {
		if left := b.gainedAt(s.FailureTimeout).Sub(now); left > 0 {
			return Step{}, left
		}
		s.gain(key, b, now)
	}
	step, wait := s.turnOwned(key, b, now)
	step.Was, step.Became = was, b.phase
	return step, wait
}

// gainedAt is from when on a base whose Lease names us is ours: at once where we wrote
// that, or the owner before. Else a person did, while somebody else may act for as long
// as is doubtful.
func (b *base) gainedAt(doubtful time.Duration) time.Time {
	if b.lease.Transferred || b.doubt.ours(b.lease.Epoch) {
		return b.since
	}
	return b.since.Add(doubtful)
}

// acknowledge is how soon who was transferred a base writes that it serves it.
const acknowledge = time.Second

func (s *State) gain(key string, b *base, now time.Time) {
	b.become(Owned, now)
	b.doubt.tried, b.edited = 0, false
	if b.due.Before(now) {
		b.due = now.Add(s.untilRenewal(key, now))
	}
	if b.lease.Transferred {
		b.due = now.Add(acknowledge)
		b.placement.later = now.Add(s.Settle) // who transferred it may know better where it belongs
	}
}

// untilRenewal is how long after a write, of now, a base's Lease is renewed: at the base's own
// place in the interval. So renewals are spread evenly over it, whatever had many Leases
// written at once: a claim of many bases, or an outage that is made up for.
func (s *State) untilRenewal(key string, now time.Time) time.Duration {
	every := uint64(s.RenewEvery())
	since := uint64(now.UnixNano()) - xxhash.Sum64String(key)%every
	return time.Duration(every - since%every)
}

// Wrote takes in that a step's write succeeded; l is the Lease as written. It says
// whether a claim ended by it, unless that was seen before.
func (s *State) Wrote(key string, step Step, l Lease, now time.Time) End {
	b := s.base(key, now)
	b.doubt.unread, b.doubt.inFlight = false, false
	end := s.SeeBase(key, l, now)
	switch step.Kind {
	case CreateBase, ClaimBase, RenewBase:
		b.due = now.Add(s.untilRenewal(key, now))
	case TransferBase:
		b.drop()
		s.give(step.To.Holder, key, now)
	case ReleaseBase:
		b.drop()
	default: // nothing else writes
	}
	return end
}

// Doubted takes in that it is not known what became of a step's write, or that it
// met another one. Lost says that the base may not be acted for until that is known:
// it may be another's already.
func (s *State) Doubted(key string, step Step) (lost bool) {
	b := s.bases[key]
	if b == nil {
		return false
	}
	b.doubt.unread = true
	if step.HandsOver() {
		b.drop()
		b.doubt.inFlight, b.doubt.tried = true, step.Epoch-1 // if it did not happen, the base is still ours
	}
	return step.HandsOver()
}

// Resolved takes in that a base's Lease was read after a write in doubt.
func (s *State) Resolved(key string) {
	if b := s.bases[key]; b != nil {
		b.doubt.unread = false
	}
}

// Deleted takes in that the Lease of a base that is gone was deleted.
func (s *State) Deleted(key string) {
	if b := s.bases[key]; b != nil {
		b.drop()
		s.forget(key)
	}
}
