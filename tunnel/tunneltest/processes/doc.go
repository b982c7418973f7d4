// Package processes is a second stack, small enough to prove that the contract of a tunnel has
// nothing of Java: bases that run modules as processes of the operating system, and a tunnel to
// them. It is a proof and no product, and is not linked into any program.
//
// A base connects to each replica and keeps the connection. The replica sends it a challenge,
// which the base answers with a proof that it has the key of its identity; from then on both
// send lines of JSON, and commands go back over the connection. So a base is never dialed, and
// any replica can reach it.
//
// Guaranteed beside the contract: whoever has not the key of an identity is no base of it, and
// costs one connection until it is silent for silence.
//
// Not guaranteed: that nobody reads what is sent, for there is no TLS. A connection costs two
// goroutines, which a product must not spend on each base.
package processes
