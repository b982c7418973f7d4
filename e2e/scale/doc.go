// Package scale measures the product with hundreds and thousands of bases: cold start, pods
// bound at once, a quiet time, failover, claims, long outages; as many bases as two replicas
// hold; what a base costs with one replica and with five; watches that are cut. Each test
// prints what it measured and fails where that breaks a promise.
//
// The tests have the build tag scale, so that go test ./... does not run them: they take
// up to two hours and want the machine for themselves. SCALE_BASES changes how many bases
// there are, SCALE_FOR how long something is measured and SCALE_PODS how many pods come a
// second, where a test has these.
package scale
