//go:build scale

package scale

import (
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/history"
	"module-controller/e2e/world"
)

// TestScale measures what 200 bases cost, or as many as SCALE_BASES says, and prints
// a report.
func TestScale(t *testing.T) {
	bases := scaleOf(t, 200)
	w := cluster.New(t).WithBroker().WithFleet(bases).WithController("LOG_LEVEL=info")
	w.AwaitNodesReady(bases)

	// Pods bound at once.
	r := w.Record()
	var wg sync.WaitGroup
	bound, uids := make([]time.Time, bases), make([]types.UID, bases)
	for worker := range concurrency {
		wg.Go(func() {
			for n := worker; n < bases; n += concurrency {
				name := fmt.Sprintf("p%d", n)
				uids[n] = w.CreatePod(name, world.BaseID(n+1), "stock", "1.0.0", world.Jar("stock", "1.0.0")).UID
				bound[n] = time.Now()
			}
		})
	}
	wg.Wait()
	took := make([]time.Duration, bases)
	for n, uid := range uids {
		if !r.AwaitPod(uid, world.Timeout, func(p history.Pod) bool { took[n] = p.Ready.Sub(bound[n]); return !p.Ready.IsZero() }) {
			t.Fatalf("pod p%d was not seen Ready within %s", n, world.Timeout)
		}
	}
	t.Log(r.KeptRules())
	slices.Sort(took)
	t.Logf("%d pods: bound to Ready p50 %s, p99 %s, installs of 20 ms", bases,
		took[bases/2].Round(time.Millisecond), took[bases*99/100].Round(time.Millisecond))
	if took[bases/2] > time.Second {
		t.Error("1 s was promised for half of them")
	}
	if c := w.Counts(); c.Installs != bases || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases)
	}

	steady(w, bases)

	w.Must(cluster.Client.CoreV1().Pods(w.Env).DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}))
	w.AwaitPodsReady("app=stock", 0)
	w.Eventually(world.Timeout, func() error {
		if c := w.Counts(); c.Installs != bases || c.Uninstalls != bases {
			return fmt.Errorf("installs %d, uninstalls %d; want %d of each", c.Installs, c.Uninstalls, bases)
		}
		return nil
	})
}

// steady measures a quiet time: API writes, goroutines and memory.
func steady(w *world.World, bases int) {
	w.Helper()
	const minutes = 1
	metric := func(name string, labels ...string) float64 {
		v, err := w.Replicas[0].Metric(name, labels...)
		w.Must(err)
		return v
	}
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
