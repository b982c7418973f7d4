//go:build chaos

package mutants

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"module-controller/e2e/chaos"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.Main(m) }

// TestMutantsAreCaught has happen to each mutant what its guard is for: the history must
// show it, and that of the product as it is must not.
func TestMutantsAreCaught(t *testing.T) {
	for _, m := range []struct{ mutant, fault string }{
		{"never-retained", "bases cut from the broker"},
		{"own-reconnect", "broker blackhole"},
	} {
		t.Run(m.fault+" without nothing", func(t *testing.T) {
			if found := violationsOf(t, cluster.Bin.Controller, m.fault); len(found) > 0 {
				t.Errorf("the product as it is breaks the rules: %v", found)
			}
		})
		t.Run(m.fault+" without "+m.mutant, func(t *testing.T) {
			controller, err := harness.BuildMutant(t.Context(), cluster.Dir, m.mutant)
			if err != nil {
				t.Fatal(err)
			}
			found := violationsOf(t, controller, m.fault)
			if len(found) == 0 {
				t.Fatal("nobody noticed")
			}
			t.Logf("%d violations, such as %s", len(found), found[0])
		})
	}
}

// violationsOf gives what a history shows in which one fault happened to each replica
// under load, and which pods of the load did not come or go.
func violationsOf(t *testing.T, controller, fault string) []string {
	t.Helper()
	const bases, loaders, calm = 12, 12, 5 * time.Second
	c := chaos.New(t, &cluster, chaos.Options{Bases: bases, Seed: 1, Binary: controller})
	var mu sync.Mutex
	var stuck []string // mu guards it
	stop := c.Load(loaders, bases, func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		stuck = append(stuck, fmt.Sprintf(format, args...))
	})
	t.Cleanup(stop)
	for n := range c.Replicas {
		chaos.Wait(calm)
		f := c.FaultNamed(n, fault)
		c.Inflict(f, f.Most)
	}
	chaos.Wait(calm)
	stop()
	c.AwaitListed()
	found, _ := c.History().Check()
	return append(found, stuck...)
}
