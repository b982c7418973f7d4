//go:build scale

package scale

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"module-controller/e2e/harness"
	"module-controller/e2e/history"
	"module-controller/e2e/world"
)

// unread is an environment that no replica serves. A flood on its topics costs the attacker,
// the broker and the machine what it does on those of the fleet, and the replicas nothing:
// what it costs more on those of the fleet is the replicas'.
const unread = "unread"

// flooded is how many bases, the first ones, lists are sent for that are not theirs. They are
// no sound ones, and are not measured.
const flooded = 16

// TestScaleHostile measures what floods cost the bases that are sound: pods come and go
// on all of them, and how long one takes from its creation to Ready is compared with a
// quiet time, in one run, and over MQTT with the same flood on topics that no replica reads.
// The broker has the limits of the sample configuration. No flood may cost more than a fifth,
// or memory.
func TestScaleHostile(t *testing.T) {
	bases := scaleOf(t, 100)
	kinds := harness.Brokers()
	w := cluster.New(t).WithBrokerOf(kinds[len(kinds)-1]).WithService()
	w.WithFleet(bases, w.OverHTTP(bases)...)
	w.WithReplicas(3, "LOG_LEVEL=info", "SETTLE_TIME=3s")
	w.AwaitNodesReady(bases)
	w.CreateBasePods(attackerAt)
	r := w.Record()
	uids := w.Readiness()

	quiet := latency(r, bases)
	t.Logf("quiet: created to Ready p50 %s, p99 %s; resident %s", quiet.p50, quiet.p99, resident(w))
	for _, attack := range []struct {
		name string
		env  string // whose topics are flooded also where no replica reads them; empty over HTTP
		run  flood
	}{
		{"new identities over HTTP", "", identitiesOverHTTP},
		{"600 silent bases", "", silentBases},
		{"new identities over MQTT", unread, identitiesOverMQTT},
		{"publishes of 250 MiB", unread, largePublishes},
		{"lists of 1 MiB", unread, lists(1<<20, 64)},
		{"lists of 250 KiB", unread, lists(250<<10, 256)},
	} {
		against := quiet
		if attack.env != "" {
			against = measured(r, bases, attack.name+", unread", quiet, attack.run, attack.env)
		}
		during := measured(r, bases, attack.name, quiet, attack.run, w.Env)
		t.Logf("%s: %.2f times what it is compared with", attack.name, float64(during.p99)/float64(against.p99))
	}
	again := latency(r, bases)
	t.Logf("quiet again: created to Ready p50 %s, p99 %s (%.2f times quiet)", again.p50, again.p99, float64(again.p99)/float64(quiet.p99))
	for node, was := range w.Readiness() {
		if before, sound := uids[node]; sound && before != was {
			t.Errorf("%s shows %s, showed %s", node, was, before)
		}
	}
	if n := len(w.Nodes()); n != bases {
		t.Errorf("%d Nodes, want those of the %d bases", n, bases)
	}
}

// measured has a flood go on while pods come and go.
func measured(r *world.Recorder, bases int, name string, quiet taken, run flood, env string) taken {
	r.Helper()
	ctx, cancel := context.WithCancel(r.Context())
	told := make(chan string, 1)
	go func() { told <- run(ctx, r.World, env) }()
	during := latency(r, bases)
	cancel()
	r.Logf("%s: %s; created to Ready p50 %s, p99 %s (%.2f times quiet); resident %s",
		name, <-told, during.p50, during.p99, float64(during.p99)/float64(quiet.p99), resident(r.World))
	return during
}

// taken is how long pods took.
type taken struct{ p50, p99 time.Duration }

// latency has pods come and go for half a minute, four at a time.
func latency(r *world.Recorder, bases int) taken {
	r.Helper()
	const loaders, long = 4, 30 * time.Second
	var mu sync.Mutex
	var took []time.Duration
	var work sync.WaitGroup
	over := time.Now().Add(long)
	for worker := range loaders {
		work.Go(func() {
			for n := worker; time.Now().Before(over); n += loaders {
				d := roundTrip(r, n, bases)
				mu.Lock()
				took = append(took, d)
				mu.Unlock()
			}
		})
	}
	work.Wait()
	slices.Sort(took)
	return taken{took[len(took)/2].Round(time.Millisecond), took[len(took)*99/100].Round(time.Millisecond)}
}

var pods atomic.Int64

// roundTrip creates a pod, waits until it is Ready, and deletes it.
func roundTrip(r *world.Recorder, n, bases int) time.Duration {
	r.Helper()
	name := fmt.Sprintf("h%d", pods.Add(1))
	began := time.Now()
	p := r.CreatePod(name, world.BaseID(1+flooded+n%(bases-flooded)), name, "1.0.0", world.Jar(name, "1.0.0"))
	var ready time.Time
	if !r.AwaitPod(p.UID, world.Timeout, func(p history.Pod) bool { ready = p.Ready; return !p.Ready.IsZero() }) {
		r.Errorf("pod %s is not Ready after %s", name, world.Timeout)
		ready = time.Now()
	}
	r.DeletePod(name)
	r.AwaitPod(p.UID, world.Timeout, func(p history.Pod) bool { return !p.Gone.IsZero() })
	return ready.Sub(began)
}

// resident gives the replicas' memory.
func resident(w *world.World) string {
	w.Helper()
	var all []string
	for _, c := range w.Replicas {
		v, err := c.Metric("process_resident_memory_bytes")
		w.Must(err)
		if v > 512<<20 {
			w.Errorf("a replica has %.0f MB resident, and its limit is 512 MiB", v/1e6)
		}
		all = append(all, fmt.Sprintf("%.0f MB", v/1e6))
	}
	return strings.Join(all, ", ")
}
