// Package httptunnel is the tunnel to bases that announce themselves by HTTP
// heartbeats and accept commands on arklet's HTTP server.
//
// Guaranteed, but for AuthAnyone: a heartbeat is delivered only if its sender proved, to
// the replica that it reached first, that it is where it says (Auth has the ways), and
// with an identity that it may use. Its Sender.Bound says so; the first word for an
// identity that is declared nowhere binds nobody else to it, so who takes heartbeats
// compares their Sender.Workload. No connection goes to an address that the policy
// refuses, however the tunnel came by it.
//
// Guaranteed always: each sender has few connections, speaks for few bases and adds them
// slowly; requests are divided fairly among bases, so that those that never answer delay
// no other. A request costs a goroutine while it is in flight, an install one while it is
// polled; a base costs none. Installs are asynchronous if the base can report their
// progress: it answers at once and is polled.
//
// Not guaranteed: that nobody reads what is sent to bases: arklet speaks plain HTTP. Nor
// that a base answers for itself: whoever can take over its address on the network can
// answer in its place.
package httptunnel
