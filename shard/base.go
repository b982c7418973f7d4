package shard

import (
	"cmp"
	"container/list"
	"time"
)

// base is what is known of one base, in parts that change for one reason each.
type base struct {
	named
	observed

	env       string
	requested bool // somebody here asked for its claim
	exists    bool // it had a Node when it was requested last
	retired   bool // it is gone for good: its Lease is deleted, if it is ours

	// phase is what we may do for it; only become changes it. Above Unowned the Lease
	// named us when it was seen last, or it was deleted since.
	phase     Phase
	due       time.Time // of the next renewal; counts where phase is not Unowned
	handover  handover  // zero below Draining
	doubt     doubt
	placement placement
}

// observed is what was seen of a base's Lease.
type observed struct {
	lease  *Lease    // as seen last, nil where there is none
	absent bool      // it was seen that there is none, since then; else nobody looked yet
	last   *Lease    // as it was deleted; nil where that is not known
	since  time.Time // it is as it is since then, by our own clock
	epoch  int32     // the highest that was seen; it never falls
	latest time.Time // the latest renew time that was seen; it never falls
	edited bool      // a person took our name out, and nobody renewed the Lease since
}

// handover is how far a base is on its way to another member.
type handover struct {
	since   time.Time // nothing new begins since then
	forced  time.Time // nothing is written of it since then; zero while Draining
	drained bool      // nothing is in flight on it
}

// doubt is what is not certain of our own writes to a base's Lease.
type doubt struct {
	unread   bool  // what became of the last one is not known: the Lease is read first
	tried    int32 // the epoch of our last claim, so that our name with it is our own doing; 0 for none
	inFlight bool  // a transfer may arrive yet: the base is ours only after another write, which it conflicts with
	// transfer is the step that may give the Lease away as it was seen last, nil for
	// none. Once the Lease is another, it was written or never will be.
	transfer *Step
}

// placement is where a base should be, and when it may be moved there.
type placement struct {
	assigned string // the member that it was assigned to last; empty for nobody
	chose    bool   // it had part in that
	// preferred is, while we drain, whom it would be assigned to with us: a base that was
	// not ours by that goes to its preferred owner, which is the same when we are back.
	preferred string
	planned   string    // the member that it was assigned to at the last turn
	shifted   time.Time // it is assigned to that one since then, as far as turns saw it
	later     time.Time // it is not moved to a live member before

	waiting *list.Element // its place among those that wait for their turn; nil for none
	called  time.Time     // it is its turn since then; zero while it is not
}

// become changes the phase and resets what depends on it. At is when.
func (b *base) become(p Phase, at time.Time) {
	switch b.phase = p; p {
	case Unowned, Owned:
		b.handover, b.placement.called = handover{}, time.Time{}
	case Draining:
		b.handover = handover{since: at}
	case Forced:
		b.handover.forced = at
	}
}

// drop ends whatever right to the base we had.
func (b *base) drop() { b.become(Unowned, time.Time{}) }

// ours says whether the Lease names us by our own doing.
func (d doubt) ours(epoch int32) bool { return d.tried != 0 && d.tried == epoch }

// plan takes in whom the base is assigned to.
func (p *placement) plan(member string, now time.Time) {
	if member != p.planned {
		p.planned, p.shifted = member, now
	}
}

func (b *base) hashed() uint64 { return b.hash }

// older has the base whose Lease has not changed for longest come first: of those that were
// seen at once, by what their owners wrote.
func (b *base) older(other *base) int {
	return cmp.Or(b.since.Compare(other.since), b.latest.Compare(other.latest))
}

// holder is who holds the base's Lease, or held it when it was deleted; empty for nobody and
// where that is not known.
func (b *base) holder() string {
	switch {
	case b.lease != nil:
		return b.lease.Holder
	case b.last != nil:
		return b.last.Holder
	}
	return ""
}
