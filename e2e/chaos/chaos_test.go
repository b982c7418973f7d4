//go:build chaos

package chaos

import (
	"cmp"
	"fmt"
	"os"
	"strconv"
	"testing"
	"time"

	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.Main(m) }

// TestChaos has faults happen, one after the other, in the order of a seed. In the end
// everything that happened is checked against the invariants (package history), and
// goroutines, open files and the heap are about what they were.
//
// CHAOS_FOR says for how long (10m), CHAOS_SEED which faults, CHAOS_BASES and
// CHAOS_LOADERS how many bases there are (60) and how many pods come and go at a
// time (12), CHAOS_LOG the replicas' log level (info).
func TestChaos(t *testing.T) {
	bases, loaders := number(t, "CHAOS_BASES", 60), number(t, "CHAOS_LOADERS", 12)
	seed := uint64(number(t, "CHAOS_SEED", int(time.Now().Unix())))
	long, err := time.ParseDuration(cmp.Or(os.Getenv("CHAOS_FOR"), "10m"))
	if err != nil {
		t.Fatalf("CHAOS_FOR: %v", err)
	}
	t.Logf("CHAOS_SEED=%d CHAOS_FOR=%s CHAOS_BASES=%d CHAOS_LOADERS=%d", seed, long, bases, loaders)
	c := New(t, &cluster, Options{Bases: bases, Seed: seed, LogLevel: os.Getenv("CHAOS_LOG")})
	before := footprints(c)

	stop := c.LoadAll(loaders)
	for over := time.Now().Add(long); time.Now().Before(over); {
		c.Next()
	}
	stop()
	c.AwaitPlaced()
	c.AwaitOwned(world.Timeout, bases)
	c.AwaitListed()
	c.Eventually(idleFor+world.Timeout, func() error { return grown(before, footprints(c)) })
	t.Logf("%v; pods and rollouts: %v; %s", c.Inflicted, c.Made(), c.KeptRules())
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(cmp.Or(os.Getenv(name), strconv.Itoa(otherwise)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// footprint is what a replica takes: goroutines, open files, bytes of heap.
type footprint struct{ goroutines, files, heap float64 }

func footprints(c *Chaos) (of []footprint) {
	c.Helper()
	for _, r := range c.Replicas {
		var f footprint
		for name, value := range map[string]*float64{"go_goroutines": &f.goroutines, "process_open_fds": &f.files, "go_gc_heap_live_bytes": &f.heap} {
			n, err := r.Metric(name)
			c.Must(err)
			*value = n
		}
		of = append(of, f)
	}
	return of
}

// idleFor is how long connections that nobody uses are kept open, by the library.
const idleFor = 90 * time.Second

// grown says of replicas that take more than before.
func grown(before, now []footprint) error {
	for i, is := range now {
		if was := before[i]; is.goroutines > 1.2*was.goroutines+10 || is.files > was.files+10 || is.heap > 2*was.heap+20e6 {
			return fmt.Errorf("I7: replica %d has %+v, had %+v", i, is, was)
		}
	}
	return nil
}
