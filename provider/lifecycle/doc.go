// Package lifecycle says what one base needs now: whether it is served, what its Node
// and its pods should show, what is sent to it, what it is asked, and when to reconcile again.
//
// It is pure: no clock, client, lock, context or goroutine. The shell around it,
// package provider, reads everything that Facts names, calls Turn, and performs the
// Actions from top to bottom. What happened to them comes back through Sent, Asked,
// NodeWritten, NodeFound, NodeMissing and Retired.
//
// Guaranteed: a base changes its phase in Turn only (and in Retired, which confirms
// that one is gone); nothing is sent, written or asked for a base that is not served;
// no command for a base that drains; nothing at all is written for one that is drained.
// Not guaranteed: that Actions are still right when they are performed. The shell asks
// for the claim again before it sends.
//
// A Base belongs to one worker at a time. A Mailbox is written by tunnels and emptied by
// the worker; its caller holds a lock.
package lifecycle
