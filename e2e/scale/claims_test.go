//go:build scale

package scale

import (
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// TestScaleClaims measures how fast the bases of a dead replica are claimed, against
// bare client-go updating as many Leases with as many workers.
func TestScaleClaims(t *testing.T) {
	bases := scaleOf(t, 2000)
	w := cluster.New(t).WithBroker().WithFleet(bases, "--heartbeat", "10s").WithReplicas(1, "SETTLE_TIME=1h", "LOG_LEVEL=info")
	w.AwaitNodesReady(bases)
	w.WithReplicas(1, "SETTLE_TIME=1h", "LOG_LEVEL=info")
	victim := w.Incarnation(0)
	rate := watchClaims(w, victim)
	w.Must(w.Replicas[0].Kill())
	claims := rate(bases)
	bare := bareUpdates(w, bases)
	t.Logf("%d bases of a dead replica were claimed at %.0f a second; bare client-go updated as many Leases at %.0f a second: %.0f %%",
		bases, claims, bare, 100*claims/bare)
	if claims < 0.6*bare {
		t.Error("60 % were promised")
	}
	w.Must(w.Replicas[0].Start(t.Context()))
}

// watchClaims gives how many Leases a second change their holder from a victim to
// others, from the first to the last.
func watchClaims(w *world.World, victim string) (rate func(want int) float64) {
	w.Helper()
	watcher, err := w.BaseLeases().Watch(w.Context(), w.OfEnv())
	w.Must(err)
	return func(want int) float64 {
		w.Helper()
		defer watcher.Stop()
		claimed := map[string]bool{}
		var first time.Time
		for e := range watcher.ResultChan() {
			l, ok := e.Object.(*coordinationv1.Lease)
			if !ok || world.OwnerOf(*l).Holder == victim {
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
func bareUpdates(w *world.World, n int) float64 {
	w.Helper()
	list, err := w.BaseLeases().List(w.Context(), w.OfEnv())
	w.Must(err)
	copies := make([]*coordinationv1.Lease, n)
	for i := range n {
		l := list.Items[i]
		copies[i], err = cluster.Client.CoordinationV1().Leases("default").Create(w.Context(), &coordinationv1.Lease{
			ObjectMeta: metav1.ObjectMeta{Name: l.Name, Labels: l.Labels}, Spec: l.Spec}, metav1.CreateOptions{})
		w.Must(err)
	}
	began := time.Now()
	var wg sync.WaitGroup
	for worker := range concurrency {
		wg.Go(func() {
			for i := worker; i < n; i += concurrency {
				now, other := metav1.NowMicro(), "bare"
				copies[i].Spec.RenewTime, copies[i].Spec.HolderIdentity = &now, &other
				if _, err := cluster.Client.CoordinationV1().Leases("default").Update(w.Context(), copies[i], metav1.UpdateOptions{}); err != nil {
					w.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rate := float64(n) / time.Since(began).Seconds()
	w.Must(cluster.Client.CoordinationV1().Leases("default").DeleteCollection(w.Context(), metav1.DeleteOptions{}, w.OfEnv()))
	return rate
}
