//go:build scale

package suite

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/history"
)

// concurrency is the controller's own number of workers.
const concurrency = 16

// scaleOf is how many bases are measured: def, or as many as SCALE_BASES says.
func scaleOf(t *testing.T, def int) int {
	t.Helper()
	v := os.Getenv("SCALE_BASES")
	if v == "" {
		return def
	}
	bases, err := strconv.Atoi(v)
	if err != nil || bases < 3 {
		t.Fatalf("SCALE_BASES=%q: want a number of bases, 3 or more", v)
	}
	return bases
}

// TestScaleColdStart measures how long it takes until all bases that come up at once
// are Nodes, against bare client-go. (With the heartbeats of bases that run already
// it would be these that are waited for.)
func TestScaleColdStart(t *testing.T) {
	bases := scaleOf(t, 200)
	for range 3 {
		t.Run("", func(t *testing.T) {
			w := newWorld(t).withBroker().withFleet(bases)
			bare := w.bareCreates(bases)
			w.must(w.fleet.Do("*", "stop"))
			first, up := w.watchFirstLease(), w.watchNodesUp()
			w.withController("LOG_LEVEL=info")
			w.must(w.fleet.Do("*", "start"))
			cold := up(bases).Sub(first())
			t.Logf("cold start: %d Nodes Ready %s after the first base was claimed; bare client-go created as many Leases and Nodes in %s: %.2f times",
				bases, cold.Round(time.Millisecond), bare.Round(time.Millisecond), cold.Seconds()/bare.Seconds())
			w.nodesReady(bases)
		})
	}
}

// TestScale measures what 200 bases cost, or as many as SCALE_BASES says, and prints
// a report.
func TestScale(t *testing.T) {
	bases := scaleOf(t, 200)
	w := newWorld(t).withBroker().withFleet(bases).withController("LOG_LEVEL=info")
	w.nodesReady(bases)

	// Pods bound at once.
	r := w.record()
	var wg sync.WaitGroup
	bound, uids := make([]time.Time, bases), make([]types.UID, bases)
	for worker := range concurrency {
		wg.Go(func() {
			for n := worker; n < bases; n += concurrency {
				name := fmt.Sprintf("p%d", n)
				uids[n] = w.pod(name, fmt.Sprintf("base-%04d", n+1), "stock", "1.0.0", jar("stock", "1.0.0")).UID
				bound[n] = time.Now()
			}
		})
	}
	wg.Wait()
	took := make([]time.Duration, bases)
	for n, uid := range uids {
		if !r.until(uid, patience, func(p history.Pod) bool { took[n] = p.Ready.Sub(bound[n]); return !p.Ready.IsZero() }) {
			t.Fatalf("pod p%d was not seen Ready within %s", n, patience)
		}
	}
	t.Log(summary(r.keptRules()))
	slices.Sort(took)
	t.Logf("%d pods: bound to Ready p50 %s, p99 %s, installs of 20 ms", bases,
		took[bases/2].Round(time.Millisecond), took[bases*99/100].Round(time.Millisecond))
	if took[bases/2] > time.Second {
		t.Error("1 s was promised for half of them")
	}
	if c := w.counts(); c.Installs != bases || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases)
	}

	w.steady(bases)

	w.must(client.CoreV1().Pods(w.env).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
	w.podsReady("app=stock", 0)
	w.eventually(patience, func() error {
		if c := w.counts(); c.Installs != bases || c.Uninstalls != bases {
			return fmt.Errorf("installs %d, uninstalls %d; want %d of each", c.Installs, c.Uninstalls, bases)
		}
		return nil
	})
}

// watchNodesUp counts the Nodes that were seen Ready; wait waits for that many.
func (w *world) watchNodesUp() (wait func(want int) time.Time) {
	w.Helper()
	watcher, err := client.CoreV1().Nodes().Watch(w.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env})
	w.must(err)
	return func(want int) time.Time {
		w.Helper()
		defer watcher.Stop()
		seen := map[string]bool{}
		for e := range watcher.ResultChan() {
			if n, ok := e.Object.(*corev1.Node); ok && nodeReady(*n) {
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

// watchFirstLease notes when the first Lease of the world appears.
func (w *world) watchFirstLease() func() time.Time {
	w.Helper()
	watcher, err := client.CoordinationV1().Leases("kube-node-lease").Watch(w.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env})
	w.must(err)
	at := make(chan time.Time, 1)
	go func() {
		<-watcher.ResultChan()
		at <- time.Now()
		watcher.Stop()
	}()
	return func() time.Time { return <-at }
}

// bareCreates measures how long client-go alone takes to create Leases and Nodes.
func (w *world) bareCreates(n int) time.Duration {
	w.Helper()
	ctx := w.Context()
	now, seconds, holder := metav1.NowMicro(), int32(40), "bare"
	start := time.Now()
	var wg sync.WaitGroup
	for worker := range concurrency {
		wg.Go(func() {
			for i := worker; i < n; i += concurrency {
				name := fmt.Sprintf("bare-%d.%s", i, w.env)
				lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{
					HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now}}
				if _, err := client.CoordinationV1().Leases("kube-node-lease").Create(ctx, lease, metav1.CreateOptions{}); err != nil {
					w.Error(err)
				}
				node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
					Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}}}}
				if _, err := client.CoreV1().Nodes().Create(ctx, node, metav1.CreateOptions{}); err != nil {
					w.Error(err)
				}
			}
		})
	}
	wg.Wait()
	took := time.Since(start)
	for i := range n {
		name := fmt.Sprintf("bare-%d.%s", i, w.env)
		w.must(client.CoordinationV1().Leases("kube-node-lease").Delete(ctx, name, metav1.DeleteOptions{}))
		w.must(client.CoreV1().Nodes().Delete(ctx, name, metav1.DeleteOptions{}))
	}
	return took
}

// steady measures a quiet time: API writes, goroutines and memory.
func (w *world) steady(bases int) {
	w.Helper()
	const minutes = 1
	metric := func(name string, labels ...string) float64 {
		v, err := w.controller.Metric(name, labels...)
		w.must(err)
		return v
	}
	w.eventually(patience, func() error { // what was installed is noted on each Node once
		for _, n := range w.nodes() {
			if n.Annotations["virtual-kubelet.koupleless.io/installed-modules"] == "" {
				return fmt.Errorf("node %s tells of no module", n.Name)
			}
		}
		return nil
	})
	before := metric("module_controller_api_writes_total")
	cpu := metric("process_cpu_seconds_total")
	<-time.After(minutes * time.Minute)
	writes := (metric("module_controller_api_writes_total") - before) / minutes / float64(bases)
	w.Logf("steady state, %d bases with a module each, %d minute: %.2f API writes a base and minute, %.0f goroutines, %.0f MB resident, %.1f %% of a core",
		bases, minutes, writes, metric("go_goroutines"), metric("process_resident_memory_bytes")/1e6,
		100*(metric("process_cpu_seconds_total")-cpu)/(60*minutes))
	if writes > 4 {
		w.Errorf("%.2f API writes a base and minute, at most 4 were promised", writes)
	}
}
