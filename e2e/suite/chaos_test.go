//go:build chaos

package suite

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/controlplane"
)

// TestChaos has faults happen to three replicas, one after the other, in the order of
// a seed, while modules are installed and uninstalled all the time. CHAOS_FOR says for
// how long (10m), CHAOS_SEED which faults.
//
// In the end every pod's module was installed once and uninstalled once, the epochs of
// no base's commands ever fell, no Node turned NotReady, and all bases are owned.
func TestChaos(t *testing.T) {
	const bases, loaders = 60, 8
	long, seed := chaosOf(t)
	t.Logf("CHAOS_SEED=%d CHAOS_FOR=%s", seed, long)
	w := newWorld(t).withBroker().withFleet(bases)
	w.proxied, w.apiAway = true, true
	w.withStock(3, bases)
	stop := w.watchNodes()
	c := &chaos{world: w, rng: rand.New(rand.NewPCG(seed, seed))}

	ctx, end := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for n := range loaders {
		load.Go(func() { c.load(ctx, n, bases, loaders) })
	}
	for over := time.Now().Add(long); time.Now().Before(over); {
		c.fault()
	}
	end()
	load.Wait()
	w.settled()
	w.ownedBy(patience, bases)
	pods := int(c.pods.Load())
	w.eventually(patience, func() error {
		if n := w.counts(); n.Installs != bases+pods || n.Uninstalls != pods {
			return fmt.Errorf("%d installs and %d uninstalls of %d pods", n.Installs, n.Uninstalls, pods)
		}
		return nil
	})
	w.checkEpochs(bases)
	if bad := stop(); len(bad) > 0 {
		t.Errorf("nodes turned not ready: %v", bad)
	}
	t.Logf("%d faults %v, %d pods, %d commands that took effect; the longest from a pod's creation to Ready %s, from its deletion to its end %s",
		c.faults, c.kinds, pods, bases+2*pods, time.Duration(c.slowest.Load()).Round(time.Millisecond), time.Duration(c.slowestEnd.Load()).Round(time.Millisecond))
}

func chaosOf(t *testing.T) (long time.Duration, seed uint64) {
	t.Helper()
	long, seed = 10*time.Minute, uint64(time.Now().UnixNano())
	var err error
	if v := os.Getenv("CHAOS_FOR"); v != "" {
		if long, err = time.ParseDuration(v); err != nil {
			t.Fatalf("CHAOS_FOR: %v", err)
		}
	}
	if v := os.Getenv("CHAOS_SEED"); v != "" {
		if seed, err = strconv.ParseUint(v, 10, 64); err != nil {
			t.Fatalf("CHAOS_SEED: %v", err)
		}
	}
	return long, seed
}

// chaos is one run.
type chaos struct {
	*world
	rng                       *rand.Rand
	faults                    int
	kinds                     map[string]int
	pods, slowest, slowestEnd atomic.Int64
}

// span is a random time.
func (c *chaos) span(least, most time.Duration) time.Duration {
	return least + time.Duration(c.rng.Int64N(int64(most-least)))
}

// lasts lets time go by.
func (c *chaos) lasts(d time.Duration) { <-time.After(d) }

// fault has one fault happen, and end.
func (c *chaos) fault() {
	n := c.rng.IntN(len(c.replicas))
	replica, between := c.replicas[n], c.links[n]
	d := c.span(2*time.Second, 25*time.Second)
	all := []struct {
		name       string
		begin, end func() error
	}{
		{"kill", replica.Kill, func() error { return replica.Start(c.Context()) }},
		{"restart", func() error { return replica.Stop(40 * time.Second) }, func() error { return replica.Start(c.Context()) }},
		{"freeze", func() error { return replica.Signal(syscall.SIGSTOP) }, func() error { return replica.Signal(syscall.SIGCONT) }},
		{"api blackhole", between.api.Blackhole, between.api.Pass},
		{"api cut", between.api.Cut, between.api.Pass},
		{"api slow", func() error { return between.api.Delay(700 * time.Millisecond) }, between.api.Pass},
		{"broker cut", between.broker.Cut, between.broker.Pass},
		{"broker blackhole", between.broker.Blackhole, between.broker.Pass},
		{"api frozen for all", func() error { return plane.Freeze(controlplane.APIServer) }, func() error { return plane.Thaw(controlplane.APIServer) }},
	}
	f := all[c.rng.IntN(len(all))]
	switch f.name {
	case "kill", "restart":
		d = c.span(0, 5*time.Second) // how soon it is started again
	}
	c.Logf("%s %s: replica %d for %s", time.Now().Format("15:04:05.000"), f.name, n, d.Round(time.Millisecond))
	c.must(f.begin())
	c.lasts(d)
	c.must(f.end())
	if c.kinds == nil {
		c.kinds = map[string]int{}
	}
	c.kinds[f.name]++
	c.faults++
	c.lasts(c.span(0, 6*time.Second))
}

// load creates a pod, waits until it is Ready, deletes it, and again, on bases of its
// own.
func (c *chaos) load(ctx context.Context, loader, bases, loaders int) {
	pods := client.CoreV1().Pods(c.env)
	for n := 0; ctx.Err() == nil; n++ {
		base := fmt.Sprintf("base-%04d", 1+(loader+n*loaders)%bases)
		name := fmt.Sprintf("m%d-%d", loader, n)
		began := time.Now()
		c.persist(func() error {
			_, err := c.createPod(name, base, name, "1.0.0", jar(name, "1.0.0"))
			if apierrors.IsAlreadyExists(err) {
				return nil
			}
			return err
		})
		c.pods.Add(1)
		c.persist(func() error {
			p, err := c.get(name)
			if err == nil && !podReady(*p) {
				err = fmt.Errorf("pod %s on %s is not ready: %s", name, base, waiting(*p))
			}
			return err
		})
		most(&c.slowest, time.Since(began))
		began = time.Now()
		c.persist(func() error {
			if err := pods.Delete(c.Context(), name, metav1.DeleteOptions{}); !apierrors.IsNotFound(err) {
				if err == nil {
					err = fmt.Errorf("pod %s is still there", name)
				}
				return err
			}
			return nil
		})
		most(&c.slowestEnd, time.Since(began))
	}
}

func most(record *atomic.Int64, d time.Duration) {
	for {
		was := record.Load()
		if int64(d) <= was || record.CompareAndSwap(was, int64(d)) {
			return
		}
	}
}

// persist tries until it works; two minutes are more than any fault lasts.
func (c *chaos) persist(do func() error) {
	over := time.Now().Add(2 * time.Minute)
	for {
		err := do()
		if err == nil || c.Context().Err() != nil {
			return
		}
		if time.Now().After(over) {
			c.Errorf("after two minutes: %v", err)
			return
		}
		<-time.After(50 * time.Millisecond)
	}
}
