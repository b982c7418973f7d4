// Package shard says who should own a base and what an ownership may do next. It
// is pure: no clock, context, client or goroutine; time is an argument, and what
// is to be done comes back as a value.
//
// Assign is the wish: which member should serve which base. State is the right:
// it takes in what was seen of Leases and gives the one step that a base or a
// member needs now. Every step that changes an ownership is a compare-and-swap on
// the resource version that was seen, so a stale view costs a conflict, never a
// second owner.
//
// Not guaranteed: that members see the same world at the same time. Two of them
// may wish for the same base; only one gets it.
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
	// Since is since when the holder may act without a break. Nobody could be asked
	// anything before.
	Since time.Time
	// Phase is what may be done for the base; Owned at least, where the claim is held.
	Phase Phase
}

// Without says whether a guard is taken out of this build; see guard.go. The guards:
// check-before-write, deadline-from-send, kill-before-claim, missing-waits,
// release-compares.
func Without(guard string) bool { return mutant == guard }

// Outlives says whether the claim still holds at t.
func (c Claim) Outlives(t time.Time) bool { return t.Before(c.Deadline) }
