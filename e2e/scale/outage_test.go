//go:build scale

package scale

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/scenario"
	"module-controller/e2e/world"
)

// TestScaleLongOutage has the API server away for ten minutes. All Nodes are NotReady
// to Kubernetes for a moment after that: their Leases are older than its grace, whoever
// is to blame. It evicts nobody for it, since it finds no Node ready at all and no pod
// is told to go before it was unready for five minutes. What is ours must not move, and
// nothing may be deleted or installed again.
func TestScaleLongOutage(t *testing.T) { scenario.APIOutage(t, &cluster, 10*time.Minute) }

// TestScaleEtcd has etcd killed, and started again in time; and frozen for longer than
// a Node may be silent. The API server is there meanwhile, and answers errors or
// nothing.
func TestScaleEtcd(t *testing.T) {
	start := func() error { return cluster.Plane.Restart(t.Context(), controlplane.Etcd) }
	t.Run("killed for 20s", func(t *testing.T) {
		scenario.Outage(t, &cluster, 20*time.Second, func() error { return cluster.Plane.Kill(controlplane.Etcd) }, start)
	})
	t.Run("frozen for 60s", func(t *testing.T) {
		scenario.Outage(t, &cluster, time.Minute, func() error { return cluster.Plane.Freeze(controlplane.Etcd) }, func() error { return cluster.Plane.Thaw(controlplane.Etcd) })
	})
}

// TestScaleBrokerAway has the broker away for five minutes. No base is taken for dead:
// while our own link is down nothing ages, so that no Node turns NotReady. All are
// served again within the time that bases take to come back, 150 s, although none ever
// sends a heartbeat again.
func TestScaleBrokerAway(t *testing.T) {
	const bases, away, back = 30, 5 * time.Minute, 150 * time.Second
	w := cluster.New(t).WithBroker().WithFleet(bases, "--reconnect", "128s", "--per-connection", "1") // each on its own, as real ones are
	w.WithStock(3, bases)
	ready := world.ReadySince(w.Pods("app=stock"))
	owners, nodes := w.Owners(), world.UIDs(w.Nodes())
	w.Recorder = w.Record()
	w.Must(w.Broker.Kill())
	w.StayLive(away)
	w.StartBroker()
	began := time.Now()
	for n := range bases {
		name := fmt.Sprintf("after%d", n)
		w.CreatePod(name, world.BaseID(n+1), "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	}
	w.Eventually(back, func() error {
		ready := 0
		for _, p := range w.Pods("app=orders") {
			if world.PodReady(p) {
				ready++
			}
		}
		if ready != bases {
			return fmt.Errorf("%d of %d pods are ready", ready, bases)
		}
		return nil
	})
	t.Logf("all bases were served again %s after the broker was back", time.Since(began).Round(time.Second))
	w.AwaitOwned(world.Timeout, bases)
	for _, o := range w.Recorder.History().Observations {
		t.Errorf("the Node of %s was %s at %s", o.Base, o.What, o.At.Format(time.StampMilli))
	}
	moved := 0
	for node, now := range w.Owners() {
		if now != owners[node] {
			moved++
		}
	}
	t.Logf("%d bases of %d moved", moved, bases)
	if now := world.UIDs(w.Nodes()); !maps.Equal(now, nodes) {
		t.Errorf("nodes are %v, were %v", now, nodes)
	}
	w.CheckReadySince(ready, "app=stock")
	if c := w.Counts(); c.Installs != 2*bases || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, 2*bases)
	}
}
