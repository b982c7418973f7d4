//go:build scale

package suite

import (
	"fmt"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// TestScaleFailover measures how long it takes until all bases of a replica that was
// killed are owned by others, with the broker's hint and without one.
func TestScaleFailover(t *testing.T) {
	bases := scaleOf(t, 300)
	for with, within := range map[bool]time.Duration{true: 4 * time.Second, false: 12 * time.Second} {
		t.Run(fmt.Sprintf("hint=%v", with), func(t *testing.T) {
			w := fleetOf(t, 3, bases)
			check := w.undisturbed(bases)
			victim := w.incarnation(1)
			owned := w.shares()["module-controller-1"]
			ended := func() {}
			if !with {
				ended = w.recorded.fault("broker dead", "")
				w.must(w.broker.Kill()) // nobody is told then
			}
			w.recorded.fault("kill", victim)()
			w.must(w.replicas[1].Kill())
			took := w.ownedBy(30*time.Second, bases, victim)
			t.Logf("%d of %d bases: all owned by others %s after kill -9", owned, bases, took.Round(time.Millisecond))
			if took > within {
				t.Errorf("that is later than %s", within)
			}
			if !with {
				w.startBroker()
			}
			ended()
			check()
		})
	}
}

// TestScaleReplicas is what it takes to scale, with 300 bases.
func TestScaleReplicas(t *testing.T) { scalingShares(t, scaleOf(t, 300)) }

// TestScaleHTTP has 200 bases whose heartbeats reach any replica, and kills one.
func TestScaleHTTP(t *testing.T) { httpAmongReplicas(t, scaleOf(t, 200)) }

// TestScaleOutage has the API away for a minute, longer than a Node may be silent.
func TestScaleOutage(t *testing.T) { apiOutage(t, time.Minute) }

// TestScaleClaims measures how fast the bases of a dead replica are claimed, against
// bare client-go updating as many Leases with as many workers.
func TestScaleClaims(t *testing.T) {
	bases := scaleOf(t, 2000)
	w := newWorld(t).withBroker().withFleet(bases, "--heartbeat", "10s").withReplicas(1, "SETTLE_TIME=1h", "LOG_LEVEL=info")
	w.nodesReady(bases)
	w.withReplicas(1, "SETTLE_TIME=1h", "LOG_LEVEL=info")
	victim := w.incarnation(0)
	rate := w.watchClaims(victim)
	w.must(w.replicas[0].Kill())
	claims := rate(bases)
	bare := w.bareUpdates(bases)
	t.Logf("%d bases of a dead replica were claimed at %.0f a second; bare client-go updated as many Leases at %.0f a second: %.0f %%",
		bases, claims, bare, 100*claims/bare)
	if claims < 0.6*bare {
		t.Error("60 % were promised")
	}
	w.must(w.replicas[0].Start(t.Context()))
}

// watchClaims gives how many Leases a second change their holder from a victim to
// others, from the first to the last.
func (w *world) watchClaims(victim string) (rate func(want int) float64) {
	w.Helper()
	watcher, err := client.CoordinationV1().Leases("kube-node-lease").Watch(w.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env})
	w.must(err)
	return func(want int) float64 {
		w.Helper()
		defer watcher.Stop()
		claimed := map[string]bool{}
		var first time.Time
		for e := range watcher.ResultChan() {
			l, ok := e.Object.(*coordinationv1.Lease)
			if !ok || ownerOf(*l).holder == victim {
				continue
			}
			if first.IsZero() {
				first = time.Now()
			}
			if claimed[l.Name] = true; len(claimed) == want {
				break
			}
		}
		if len(claimed) < want {
			w.Fatalf("the watch ended when %d of %d claims had been seen", len(claimed), want)
		}
		return float64(len(claimed)) / time.Since(first).Seconds()
	}
}

// bareUpdates gives how many Leases a second client-go alone updates.
func (w *world) bareUpdates(n int) float64 {
	w.Helper()
	list, err := client.CoordinationV1().Leases("kube-node-lease").List(w.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env})
	w.must(err)
	copies := make([]*coordinationv1.Lease, n)
	for i := range n {
		l := list.Items[i]
		copies[i], err = client.CoordinationV1().Leases("default").Create(w.Context(), &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: l.Name, Labels: l.Labels}, Spec: l.Spec}, metav1.CreateOptions{})
		w.must(err)
	}
	began := time.Now()
	var wg sync.WaitGroup
	for worker := range concurrency {
		wg.Go(func() {
			for i := worker; i < n; i += concurrency {
				now, other := metav1.NowMicro(), "bare"
				copies[i].Spec.RenewTime, copies[i].Spec.HolderIdentity = &now, &other
				if _, err := client.CoordinationV1().Leases("default").Update(w.Context(), copies[i], metav1.UpdateOptions{}); err != nil {
					w.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rate := float64(n) / time.Since(began).Seconds()
	w.must(client.CoordinationV1().Leases("default").DeleteCollection(w.Context(), metav1.DeleteOptions{}, metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env}))
	return rate
}
