// Package workloads knows the Pods in which bases may run: those that a selector picks.
// By it the HTTP tunnel finds out who sent a heartbeat, and the provider whether the Pod
// that a base was bound to is gone.
//
// It also knows the zones of the machines that these Pods run on.
//
// It guarantees that it names a Pod only while the API server has it and it has not
// ended, and that it says that a Pod is gone only once it saw it leave or the API server said
// so. It does not guarantee that its sight is the newest: an address that a Pod has just been
// given may be unknown to it for a moment, and is refused until then.
//
// All may be called from any goroutine, but Watch before Run. Nothing blocks but OfToken.
package workloads
