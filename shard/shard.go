// Package shard says who should own a base and what an ownership may do. It is
// pure: no clock, context, client or goroutine; time is an argument.
//
// Today it holds the words that the other rooms share. The assignment of bases
// to many replicas comes with them.
package shard

import "time"

// Claim is the right, held now, to act for one base: to command it, to write its
// Node and its Pods' status, and to renew its Lease.
type Claim struct {
	// Holder is the incarnation that holds the claim, as it stands in the Lease.
	Holder string
	// Epoch is the Lease's leaseTransitions. It only grows.
	Epoch int32
	// Deadline ends the claim; it carries a monotonic reading. The zero time means
	// that the claim has no end of its own, as that of a lone replica.
	Deadline time.Time
}

// Outlives says whether the claim still holds at t.
func (c Claim) Outlives(t time.Time) bool {
	return c.Deadline.IsZero() || t.Before(c.Deadline)
}
