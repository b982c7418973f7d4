//go:build scale

package scale

import (
	"fmt"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// TestScaleColdStart measures how long it takes until all bases that come up at once
// are Nodes, against bare client-go. (With the heartbeats of bases that run already
// it would be these that are waited for.)
func TestScaleColdStart(t *testing.T) {
	bases := scaleOf(t, 200)
	for range 3 {
		t.Run("", func(t *testing.T) {
			w := cluster.New(t).WithBroker().WithFleet(bases)
			bare := bareCreates(w, bases)
			w.Must(w.Fleet.Do("*", "stop"))
			first, up := watchFirstLease(w), watchNodesUp(w)
			w.WithController("LOG_LEVEL=info")
			w.Must(w.Fleet.Do("*", "start"))
			cold := up(bases).Sub(first())
			t.Logf("cold start: %d Nodes Ready %s after the first base was claimed; bare client-go created as many Leases and Nodes in %s: %.2f times",
				bases, cold.Round(time.Millisecond), bare.Round(time.Millisecond), cold.Seconds()/bare.Seconds())
			w.AwaitNodesReady(bases)
		})
	}
}

// watchNodesUp counts the Nodes that were seen Ready; wait waits for that many.
func watchNodesUp(w *world.World) (wait func(want int) time.Time) {
	w.Helper()
	watcher, err := cluster.Client.CoreV1().Nodes().Watch(w.Context(), w.OfEnv())
	w.Must(err)
	return func(want int) time.Time {
		w.Helper()
		defer watcher.Stop()
		seen := map[string]bool{}
		for e := range watcher.ResultChan() {
			if n, ok := e.Object.(*corev1.Node); ok && world.NodeReady(*n) {
				seen[n.Name] = true
			}
			if len(seen) == want {
				return time.Now()
			}
		}
		w.Fatalf("the watch ended when %d of %d Nodes had been seen Ready", len(seen), want)
		return time.Time{}
	}
}

// watchFirstLease notes when the first Lease of the World appears.
func watchFirstLease(w *world.World) func() time.Time {
	w.Helper()
	watcher, err := w.BaseLeases().Watch(w.Context(), w.OfEnv())
	w.Must(err)
	at := make(chan time.Time, 1)
	go func() {
		<-watcher.ResultChan()
		at <- time.Now()
		watcher.Stop()
	}()
	return func() time.Time { return <-at }
}

// bareCreates measures how long client-go alone takes to create Leases and Nodes.
func bareCreates(w *world.World, n int) time.Duration {
	w.Helper()
	ctx := w.Context()
	now, seconds, holder := metav1.NowMicro(), int32(40), "bare"
	start := time.Now()
	var wg sync.WaitGroup
	for worker := range concurrency {
		wg.Go(func() {
			for i := worker; i < n; i += concurrency {
				name := fmt.Sprintf("bare-%d.%s", i, w.Env)
				lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{
					HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}}
				if _, err := w.BaseLeases().Create(ctx, lease, metav1.CreateOptions{}); err != nil {
					w.Error(err)
				}
				node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
					Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
				if _, err := cluster.Client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
					w.Error(err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	for i := range n {
		name := fmt.Sprintf("bare-%d.%s", i, w.Env)
		w.Must(w.BaseLeases().Delete(ctx, name, metav1.DeleteOptions{}))
		w.Must(cluster.Client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}))
	}
	return took
}
