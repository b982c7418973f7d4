// Package scale measures the product with hundreds of bases: cold start, pods bound at
// once, a quiet time, failover, claims and long outages. Each test prints what it
// measured and fails where that breaks a promise.
//
// The tests have the build tag scale, so that go test ./... does not run them: they take
// up to 90 minutes and want the machine for themselves. SCALE_BASES changes how many bases
// there are.
package scale
