// Package election reads and writes the Leases that say which replicas live and
// which of them owns which base. No other package does.
//
// Two kinds of Lease: each replica has a membership Lease, renewed every second,
// which alone says whether it lives; each base has one in kube-node-lease, whose
// holder alone says who owns it, and which is the Node's heartbeat too. What may
// be done about them is decided by package shard; this package performs it.
//
// Guaranteed: a replica acts only until Timing.RenewDeadline after it sent its last
// successful membership write; a member is expired, in its membership Lease, before
// its bases are claimed; every write of an ownership is a compare-and-swap. So no
// two replicas act for a base at a time, whatever is delayed, frozen or cut off,
// provided that no machine's monotonic clock runs more than a percent too fast or too
// slow.
//
// Not guaranteed: that a base is owned at every instant. And a person who writes a
// holder by hand can have two replicas act for the time that a watch takes.
package election
