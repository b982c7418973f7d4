// Package shard says who should own a base and what an ownership may do next. It
// is pure: no clock, context, client or goroutine; time is an argument, and what
// is to be done comes back as a value.
//
// Assign says which member should own which base. State has the right: it takes in
// what was seen of Leases and gives the one step that a base or a member needs now.
// Every step that changes an ownership is a compare-and-swap on the resource version
// that was seen, so a stale view costs a conflict, never a second owner.
//
// Not guaranteed: that members see the same world at the same time. Two of them may
// assign one base to themselves; only one gets it.
package shard

import "time"

// Claim is the right, held now, to act for one base: to command it, to write its
// Node and its Pods' status, and to renew its Lease.
type Claim struct {
	// Holder is the incarnation that holds the claim, as it stands in the Lease.
	Holder string
	// Epoch is the Lease's leaseTransitions. It only grows.
	Epoch int32
	// Deadline ends the claim unless it is renewed; it carries a monotonic reading.
	Deadline time.Time
	// Since is since when the holder may act without a break. It could send nothing
	// before.
	Since time.Time
	// Phase is what may be done for the base; Owned at least, where the claim is held.
	Phase Phase
}

// Outlives says whether the claim still holds at t.
func (c Claim) Outlives(t time.Time) bool { return t.Before(c.Deadline) }
