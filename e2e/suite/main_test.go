// Package suite runs the product on a real control plane with simulated bases, and
// asserts the state of the world: what the API shows and what the bases did.
//
// Each test has a World of its own, and all share one Cluster: see package world. Tests
// are parallel, but for those that docs/testing.md has under "End to end". What
// takes longer, needs more or happens at random is in the packages beside this one:
// scale, chaos, mutants and java.
package suite

import (
	"testing"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

var cluster = world.Cluster{JudgesRights: true, Unused: []string{
	// A member is forgotten ten minutes after it left, longer than any test.
	"delete leases.coordination.k8s.io in " + harness.Namespace,
}}

func TestMain(m *testing.M) { cluster.Main(m) }

// onEachBroker runs a test on every kind of broker that there is on this machine.
func onEachBroker(t *testing.T, test func(t *testing.T, broker string)) {
	t.Helper()
	for _, kind := range harness.Brokers() {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			test(t, kind)
		})
	}
}
