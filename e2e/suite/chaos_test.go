//go:build chaos

package suite

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/history"
	"module-controller/e2e/proxy"
)

// TestChaos has faults happen to three replicas and to what is around them, one
// after the other, in the order of a seed, while modules are installed and
// uninstalled all the time. In the end everything that happened is checked against
// the invariants (package history), and goroutines are as many as before.
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
	before := c.goroutines()

	ctx, end := context.WithCancel(t.Context())
	load := c.load(ctx, loaders)
	for over := time.Now().Add(long); time.Now().Before(over); {
		c.happen()
	}
	end()
	load.Wait()
	c.settled()
	c.ownedBy(patience, bases)
	c.eachListed()
	for i, n := range c.goroutines() {
		if n > 1.2*before[i]+10 {
			t.Errorf("I7: replica %d has %v goroutines, had %v", i, n, before[i])
		}
	}
	t.Logf("%v: %s", c.kinds, summary(c.keptRules()))
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
	names atomic.Int64 // pods that were created
}

// newChaos starts three replicas with a module on each base, and proxies around
// them.
func newChaos(t *testing.T, bases int, seed uint64) *chaos {
	t.Helper()
	w := newWorld(t).withBroker()
	field, err := proxy.Start("127.0.0.1:" + strconv.Itoa(w.brokerPort))
	w.must(err)
	t.Cleanup(func() {
		if err := field.Close(); err != nil {
			t.Error(err)
		}
	})
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

func (c *chaos) goroutines() (of []float64) {
	c.Helper()
	for _, r := range c.replicas {
		n, err := r.Metric("go_goroutines")
		c.must(err)
		of = append(of, n)
	}
	return of
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
	begin, end func() error
}

// faults are those that may happen to a replica, or around it.
func (c *chaos) faults(n int) []fault {
	const long, short = 25 * time.Second, 5 * time.Second
	replica, between := c.replicas[n], c.links[n]
	start := func() error { return replica.Start(c.Context()) }
	nothing := func() error { return nil }
	return []fault{
		{"kill", short, true, replica.Kill, start},
		{"restart", short, false, func() error { return replica.Stop(40 * time.Second) }, start},
		{"freeze", long, false, func() error { return replica.Signal(syscall.SIGSTOP) }, func() error { return replica.Signal(syscall.SIGCONT) }},
		{"api blackhole", long, false, between.api.Blackhole, between.api.Pass},
		{"api cut", long, false, between.api.Cut, between.api.Pass},
		{"api slow", long, false, func() error { return between.api.Delay(700 * time.Millisecond) }, between.api.Pass},
		{"broker blackhole", long, false, between.broker.Blackhole, between.broker.Pass},
		{"broker cut", long, false, between.broker.Cut, between.broker.Pass},
		{"api frozen for all", long, false, func() error { return plane.Freeze(controlplane.APIServer) }, func() error { return plane.Thaw(controlplane.APIServer) }},
		{"bases cut from the broker", short, false, c.field.Cut, c.field.Pass},
		{"broker restarted", short, false, c.broker.Kill, func() error { c.startBroker(); return nil }},
		{"lease deleted", short, false, c.deleteLease, nothing},
		{"membership deleted", short, false, func() error { return c.deleteMembership(n) }, nothing},
	}
}

// happen has one fault happen, and end.
func (c *chaos) happen() {
	n := c.rng.IntN(len(c.replicas))
	faults := c.faults(n)
	f := faults[c.rng.IntN(len(faults))]
	d := c.span(f.most/20, f.most)
	c.Logf("%s %s: replica %d for %s", time.Now().Format("15:04:05.000"), f.name, n, d.Round(time.Millisecond))
	killed := ""
	if f.kills {
		killed = c.incarnation(n)
	}
	c.kinds[f.name]++
	ended := c.fault(f.name, killed)
	c.must(f.begin())
	c.lasts(d)
	c.must(f.end())
	ended()
	c.lasts(c.span(0, 6*time.Second))
}

func (c *chaos) deleteLease() error {
	node := c.nodeOf(fmt.Sprintf("base-%04d", 1+c.rng.IntN(c.bases)))
	return ignoreNotFound(client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Delete(c.Context(), node, metav1.DeleteOptions{}))
}

func (c *chaos) deleteMembership(n int) error {
	return ignoreNotFound(client.CoordinationV1().Leases("module-controller").Delete(c.Context(), fmt.Sprintf("module-controller-%d", n), metav1.DeleteOptions{}))
}

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}

// load has pods come and go until ctx ends, so many at a time.
func (c *chaos) load(ctx context.Context, loaders int) *sync.WaitGroup {
	var load sync.WaitGroup
	for range loaders {
		load.Go(func() {
			for ctx.Err() == nil && c.Context().Err() == nil {
				c.comeAndGo()
			}
		})
	}
	return &load
}

// comeAndGo creates a pod, waits until it is Ready, deletes it and waits until it is
// gone.
func (c *chaos) comeAndGo() {
	const enough = 3 * time.Minute
	n := int(c.names.Add(1))
	name, base := fmt.Sprintf("m%d", n), fmt.Sprintf("base-%04d", 1+n%c.bases)
	var uid types.UID
	c.insist(enough, func() error {
		p, err := c.createPod(name, base, name, "1.0.0", jar(name, "1.0.0"))
		if apierrors.IsAlreadyExists(err) { // the answer was lost
			p, err = c.get(name)
		}
		if err == nil {
			uid = p.UID
		}
		return err
	})
	if !c.until(uid, enough, func(p history.Pod) bool { return !p.Ready.IsZero() }) {
		c.Errorf("pod %s on %s is not Ready after %s", name, base, enough)
	}
	c.insist(enough, func() error {
		return ignoreNotFound(client.CoreV1().Pods(c.env).Delete(c.Context(), name, metav1.DeleteOptions{}))
	})
	if !c.until(uid, enough, func(p history.Pod) bool { return !p.Gone.IsZero() }) {
		c.Errorf("pod %s on %s is not gone after %s", name, base, enough)
	}
}

// insist tries until it works.
func (c *chaos) insist(within time.Duration, do func() error) {
	over := time.Now().Add(within)
	for {
		err := do()
		if err == nil || errors.Is(c.Context().Err(), context.Canceled) {
			return
		}
		if time.Now().After(over) {
			c.Error(err)
			return
		}
		<-time.After(200 * time.Millisecond)
	}
}
