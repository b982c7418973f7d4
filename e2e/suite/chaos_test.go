//go:build chaos

package suite

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/history"
	"module-controller/e2e/proxy"
)

// TestChaos has faults happen to three replicas and to what is around them, one
// after the other, in the order of a seed, while modules are installed and
// uninstalled all the time. In the end everything that happened is checked against
// the invariants (package history), and goroutines, open files and the heap are about
// what they were.
//
// CHAOS_FOR says for how long (10m), CHAOS_SEED which faults, CHAOS_BASES and
// CHAOS_LOADERS how many bases there are (60) and how many pods come and go at a
// time (12).
func TestChaos(t *testing.T) {
	bases, loaders := number(t, "CHAOS_BASES", 60), number(t, "CHAOS_LOADERS", 12)
	seed := uint64(number(t, "CHAOS_SEED", int(time.Now().Unix())))
	long, err := time.ParseDuration(setting("CHAOS_FOR", "10m"))
	if err != nil {
		t.Fatalf("CHAOS_FOR: %v", err)
	}
	t.Logf("CHAOS_SEED=%d CHAOS_FOR=%s CHAOS_BASES=%d CHAOS_LOADERS=%d", seed, long, bases, loaders)
	c := newChaos(t, bases, seed)
	before := c.footprints()

	stop := c.load(loaders, bases, c.Errorf)
	t.Cleanup(stop)
	for over := time.Now().Add(long); time.Now().Before(over); {
		c.happen()
	}
	stop()
	c.settled()
	c.ownedBy(patience, bases)
	c.eachListed()
	c.eventually(idleFor+patience, func() error { return grown(before, c.footprints()) })
	t.Logf("%v: %s", c.kinds, summary(c.keptRules()))
}

// TestMutantsAreCaught takes guards out that only real connections show, and has
// happen what each guards against: the history must show it, and that of the product
// as it is must not.
func TestMutantsAreCaught(t *testing.T) {
	for _, m := range []struct{ guard, fault string }{
		{"never-retained", "bases cut from the broker"},
		{"own-reconnect", "broker blackhole"},
	} {
		for _, guard := range []string{"", m.guard} {
			t.Run(m.fault+" without "+cmp.Or(guard, "nothing"), func(t *testing.T) {
				controller := bin.Controller
				if guard != "" {
					var err error
					if controller, err = harness.BuildMutant(t.Context(), logs, "tunnel/mqtt", guard); err != nil {
						t.Fatal(err)
					}
				}
				found := violationsOf(t, controller, m.fault)
				switch {
				case guard == "" && len(found) > 0:
					t.Errorf("the product as it is breaks the rules: %v", found)
				case guard != "" && len(found) == 0:
					t.Error("nobody noticed")
				case guard != "":
					t.Logf("%d violations, such as %s", len(found), found[0])
				}
			})
		}
	}
}

// violationsOf gives what a history shows in which one fault happened to each replica
// under load, and which pods of the load did not come or go.
func violationsOf(t *testing.T, controller, fault string) []string {
	t.Helper()
	whole := bin.Controller
	defer func() { bin.Controller = whole }()
	bin.Controller = controller
	c := newChaos(t, 12, 1)
	var mu sync.Mutex
	var stuck []string
	stop := c.load(12, c.bases, func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		stuck = append(stuck, fmt.Sprintf(format, args...))
	})
	t.Cleanup(stop)
	for n := range c.replicas {
		c.lasts(5 * time.Second)
		for _, f := range c.faults(n) {
			if f.name == fault {
				c.inflict(n, f, f.most)
			}
		}
	}
	c.lasts(5 * time.Second)
	stop()
	c.eachListed()
	found, _ := c.history().Check()
	return append(found, stuck...)
}

func setting(name, otherwise string) string {
	if v := os.Getenv(name); v != "" {
		return v
	}
	return otherwise
}

func number(t *testing.T, name string, otherwise int) int {
	t.Helper()
	n, err := strconv.Atoi(setting(name, strconv.Itoa(otherwise)))
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// chaos is one run.
type chaos struct {
	*recorder
	bases int
	rng   *rand.Rand
	kinds map[string]int
	field *proxy.Proxy // between the bases and the broker
}

// newChaos starts three replicas with a module on each base, and proxies around
// them.
func newChaos(t *testing.T, bases int, seed uint64) *chaos {
	t.Helper()
	w := newWorld(t).withBroker()
	field, err := proxy.Start("127.0.0.1:" + strconv.Itoa(w.brokerPort))
	w.must(err)
	w.proxies = append(w.proxies, field)
	w.startFleet(bases, []string{"--mqtt", field.Addr()})
	w.proxied, w.apiAway = true, true
	w.withReplicas(3, "SETTLE_TIME=3s", "LIST_INTERVAL=2s", "ANSWER_TIMEOUT=30s", "LOG_LEVEL="+setting("CHAOS_LOG", "info"))
	w.nodesReady(bases)
	r := w.record()
	w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), int32(bases), spread)
	w.podsReady("app=stock", bases)
	w.settled()
	return &chaos{recorder: r, bases: bases, rng: rand.New(rand.NewPCG(seed, seed)), kinds: map[string]int{}, field: field}
}

// footprint is what a replica takes: goroutines, open files, bytes of heap.
type footprint struct{ goroutines, files, heap float64 }

func (c *chaos) footprints() (of []footprint) {
	c.Helper()
	for _, r := range c.replicas {
		var f footprint
		for name, value := range map[string]*float64{"go_goroutines": &f.goroutines, "process_open_fds": &f.files, "go_memstats_heap_inuse_bytes": &f.heap} {
			n, err := r.Metric(name)
			c.must(err)
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

// span is a random time.
func (c *chaos) span(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rng.Int64N(int64(most-least)))
}

// lasts lets time go by.
func (c *chaos) lasts(d time.Duration) { <-time.After(d) }

// A fault begins and ends.
type fault struct {
	name       string
	most       time.Duration // it lasts
	kills      bool
	silences   []int // replicas that cannot renew their membership meanwhile
	alone      bool  // nothing else happens for a while before and after it
	begin, end func() error
}

// faults are those that may happen to a replica, or around it.
func (c *chaos) faults(n int) []fault {
	const long, short = 16 * time.Second, 5 * time.Second
	replica, between := c.replicas[n], c.links[n]
	start := func() error { return replica.Start(c.Context()) }
	nothing := func() error { return nil }
	one, all := []int{n}, []int{0, 1, 2}
	return []fault{
		{name: "kill alone", most: short, kills: true, alone: true, begin: replica.Kill, end: start},
		{name: "kill", most: short, kills: true, begin: replica.Kill, end: start},
		{name: "restart", most: short, begin: func() error { return replica.Stop(40 * time.Second) }, end: start},
		{name: "freeze", most: long, silences: one, begin: func() error { return replica.Signal(syscall.SIGSTOP) }, end: func() error { return replica.Signal(syscall.SIGCONT) }},
		{name: "api blackhole", most: long, silences: one, begin: between.api.Blackhole, end: between.api.Pass},
		{name: "api cut", most: long, silences: one, begin: between.api.Cut, end: between.api.Pass},
		{name: "api slow", most: long, begin: func() error { return between.api.Delay(700 * time.Millisecond) }, end: between.api.Pass},
		{name: "broker blackhole", most: long, begin: between.broker.Blackhole, end: between.broker.Pass},
		{name: "broker cut", most: long, begin: between.broker.Cut, end: between.broker.Pass},
		{name: "api frozen for all", most: long, silences: all, begin: func() error { return plane.Freeze(controlplane.APIServer) }, end: func() error { return plane.Thaw(controlplane.APIServer) }},
		{name: "bases cut from the broker", most: short, begin: c.field.Cut, end: c.field.Pass},
		{name: "broker restarted", most: short, begin: c.broker.Kill, end: func() error { c.startBroker(); return nil }},
		{name: "lease deleted", most: short, begin: c.deleteLease, end: nothing},
		{name: "membership deleted", most: short, begin: func() error { return c.deleteMembership(n) }, end: nothing},
	}
}

// happen has one fault happen, and end.
func (c *chaos) happen() {
	n := c.rng.IntN(len(c.replicas))
	faults := c.faults(n)
	f := faults[c.rng.IntN(len(faults))]
	d := c.span(f.most/20, f.most)
	c.Logf("%s %s: replica %d for %s", time.Now().Format("15:04:05.000"), f.name, n, d.Round(time.Millisecond))
	if f.alone {
		c.lasts(history.Takeover)
		defer c.lasts(history.Takeover)
	}
	c.kinds[f.name]++
	c.inflict(n, f, d)
	c.lasts(c.span(0, 3*time.Second))
}

// inflict has a fault happen to a replica, or around it, for a time.
func (c *chaos) inflict(n int, f fault, lasts time.Duration) {
	killed := ""
	if f.kills {
		killed = c.incarnation(n)
	}
	var silenced []string
	for _, r := range f.silences {
		silenced = append(silenced, c.incarnation(r))
	}
	ended := c.fault(f.name, killed, silenced...)
	c.must(f.begin())
	c.lasts(lasts)
	ended() // who is silenced may act again while the end is made
	c.must(f.end())
}

func (c *chaos) deleteLease() error {
	node := c.nodeOf(fmt.Sprintf("base-%04d", 1+c.rng.IntN(c.bases)))
	return ignoreNotFound(client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Delete(c.Context(), node, metav1.DeleteOptions{}))
}

func (c *chaos) deleteMembership(n int) error {
	return ignoreNotFound(client.CoordinationV1().Leases("module-controller").Delete(c.Context(), fmt.Sprintf("module-controller-%d", n), metav1.DeleteOptions{}))
}
