//go:build scale

package scale

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"module-controller/e2e/attacker"
	"module-controller/e2e/harness"
	"module-controller/e2e/history"
	"module-controller/e2e/world"
)

// What an attacker does, one thing after the other, each for as long as it takes to
// measure; the address is that of a Pod which may be a base.
const attackerAt = "127.66.0.1"

// TestScaleHostile measures what floods cost the bases that are sound: pods come and go
// on all of them, and how long one takes from its creation to Ready is compared with a
// quiet time, in one run. No flood may cost more than a fifth, or memory.
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
		run  func(ctx context.Context, w *world.World) string
	}{
		{"new identities over HTTP", identitiesOverHTTP},
		{"new identities over MQTT", identitiesOverMQTT},
		{"publishes of 250 MiB", largePublishes},
		{"600 silent bases", silentBases},
		{"lists of 1 MiB", largeLists},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		told := make(chan string, 1)
		go func() { told <- attack.run(ctx, w) }()
		during := latency(r, bases)
		cancel()
		t.Logf("%s: %s; created to Ready p50 %s, p99 %s (%.2f times quiet); resident %s",
			attack.name, <-told, during.p50, during.p99, float64(during.p99)/float64(quiet.p99), resident(w))
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
	p := r.CreatePod(name, world.BaseID(1+n%bases), name, "1.0.0", world.Jar(name, "1.0.0"))
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

// paced calls do until ctx ends, so often a second in all.
func paced(ctx context.Context, rate, workers int, do func(n int)) (done int64) {
	var n atomic.Int64
	var work sync.WaitGroup
	for range workers {
		work.Go(func() {
			tick := time.NewTicker(time.Second * time.Duration(workers) / time.Duration(rate))
			defer tick.Stop()
			for {
				select {
				case <-ctx.Done():
					return
				case <-tick.C:
					do(int(n.Add(1)))
				}
			}
		})
	}
	work.Wait()
	return n.Load()
}

// floodRate is 100,000 a minute.
const floodRate = 1667

func identitiesOverHTTP(ctx context.Context, w *world.World) string {
	s := attacker.NewSender(attackerAt, w.Endpoint())
	defer s.Close()
	n := paced(ctx, floodRate, 8, func(n int) {
		_, _, _ = s.Post(ctx, "/heartbeat", attacker.Heart{Identity: fmt.Sprintf("forged-%d", n), IP: attackerAt, Port: 9}.String())
	})
	return fmt.Sprintf("%d heartbeats", n)
}

func identitiesOverMQTT(ctx context.Context, w *world.World) string {
	p, err := attacker.Connect(ctx, w.BrokerAddress(), "identities")
	if err != nil {
		return err.Error()
	}
	defer p.Close()
	n := paced(ctx, floodRate, 2, func(n int) {
		identity := fmt.Sprintf("forged-%d", n)
		p.Throw("koupleless_"+w.Env+"/"+identity+"/base/heart", []byte(attacker.Heart{Identity: identity, IP: attackerAt}.Published(time.Now())))
	})
	return fmt.Sprintf("%d heartbeats", n)
}

func largePublishes(ctx context.Context, w *world.World) string {
	p, err := attacker.Connect(ctx, w.BrokerAddress(), "large")
	if err != nil {
		return err.Error()
	}
	defer p.Close()
	body := make([]byte, 250<<20)
	n := 0
	for ; n < 4 && ctx.Err() == nil; n++ {
		if err := p.Publish(ctx, "koupleless_"+w.Env+"/anybody/base/heart", body, false); err != nil {
			return fmt.Sprintf("%d publishes; %v", n, err)
		}
	}
	<-ctx.Done()
	return fmt.Sprintf("%d publishes", n)
}

// silentBases are at a port that accepts connections and answers nothing. A Pod may have
// few identities, so there are many Pods.
func silentBases(ctx context.Context, w *world.World) string {
	const pods, each = 75, 8
	var senders []*attacker.Sender
	ports := map[string]int{}
	for n := range pods {
		ip := fmt.Sprintf("127.67.0.%d", n+1)
		w.CreateBasePods(ip)                 //nolint:contextcheck // a World has its own
		l, err := net.Listen("tcp", ip+":0") // connections wait in its backlog
		if err != nil {
			return err.Error()
		}
		defer func() { _ = l.Close() }()
		ports[ip] = l.Addr().(*net.TCPAddr).Port
		s := attacker.NewSender(ip, w.Endpoint())
		defer s.Close()
		senders = append(senders, s)
	}
	var accepted atomic.Int64
	n := paced(ctx, pods*each/10, 4, func(n int) {
		s := senders[n%pods]
		status, _, err := s.Post(ctx, "/heartbeat", attacker.Heart{Identity: fmt.Sprintf("silent-%d", n%(pods*each)), IP: s.IP, Port: ports[s.IP]}.String())
		if err == nil && status == 200 {
			accepted.Add(1)
		}
	})
	return fmt.Sprintf("%d heartbeats, %d accepted", n, accepted.Load())
}

func largeLists(ctx context.Context, w *world.World) string {
	p, err := attacker.Connect(ctx, w.BrokerAddress(), "lists")
	if err != nil {
		return err.Error()
	}
	defer p.Close()
	body := []byte(`{"publishTimestamp":1,"data":[` + strings.Repeat("1,", 1<<19) + "1]}")
	n := paced(ctx, 64, 4, func(n int) {
		p.Throw("koupleless_"+w.Env+"/"+world.BaseID(1+2*(n%8))+"/base/simpleBiz", body)
	})
	return fmt.Sprintf("%d lists", n)
}
