//go:build scale

package suite

import (
	"fmt"
	"maps"
	"testing"
	"time"

	"module-controller/e2e/controlplane"
)

// TestScaleLongOutage has the API server away for ten minutes. All Nodes are NotReady
// to Kubernetes for a moment after that: their Leases are older than its grace, whoever
// is to blame. It evicts nobody for it, since it finds no Node ready at all and no pod
// is told to go before it was unready for five minutes. What is ours must not move, and
// nothing may be deleted or installed again.
func TestScaleLongOutage(t *testing.T) { apiOutage(t, 10*time.Minute) }

// TestScaleEtcd has etcd killed, and started again in time; and frozen for longer than
// a Node may be silent. The API server is there meanwhile, and answers errors or
// nothing.
func TestScaleEtcd(t *testing.T) {
	const bases = 30
	start := func() error { return plane.Restart(t.Context(), controlplane.Etcd) }
	t.Run("killed for 20s", func(t *testing.T) {
		outage(t, bases, 20*time.Second, func() error { return plane.Kill(controlplane.Etcd) }, start)
	})
	t.Run("frozen for 60s", func(t *testing.T) {
		outage(t, bases, time.Minute, func() error { return plane.Freeze(controlplane.Etcd) }, func() error { return plane.Thaw(controlplane.Etcd) })
	})
}

// TestScaleBrokerAway has the broker away for five minutes. No base is taken for dead:
// while our own link is down nothing ages, so that no Node turns NotReady. All are
// served again within the time that bases take to come back, 150 s, although none ever
// sends a heartbeat again.
func TestScaleBrokerAway(t *testing.T) {
	const bases, away, back = 30, 5 * time.Minute, 150 * time.Second
	w := newWorld(t).withBroker().withFleet(bases, "--reconnect", "128s", "--per-connection", "1") // each on its own, as real ones are
	w.withStock(3, bases)
	ready := readySince(w.pods("app=stock"))
	owners, nodes := w.owners(), uids(w.nodes())
	w.recorded = w.record()
	w.must(w.broker.Kill())
	w.liveFor(away)
	w.startBroker()
	began := time.Now()
	for n := range bases {
		name := fmt.Sprintf("after%d", n)
		w.pod(name, fmt.Sprintf("base-%04d", n+1), "orders", "1.0.0", jar("orders", "1.0.0"))
	}
	w.eventually(back, func() error {
		ready := 0
		for _, p := range w.pods("app=orders") {
			if podReady(p) {
				ready++
			}
		}
		if ready != bases {
			return fmt.Errorf("%d of %d pods are ready", ready, bases)
		}
		return nil
	})
	t.Logf("all bases were served again %s after the broker was back", time.Since(began).Round(time.Second))
	w.ownedBy(patience, bases)
	for _, s := range w.recorded.history().Sights {
		t.Errorf("the Node of %s was %s at %s", s.Base, s.What, s.At.Format(time.StampMilli))
	}
	moved := 0
	for node, now := range w.owners() {
		if now != owners[node] {
			moved++
		}
	}
	t.Logf("%d bases of %d moved", moved, bases)
	if now := uids(w.nodes()); !maps.Equal(now, nodes) {
		t.Errorf("nodes are %v, were %v", now, nodes)
	}
	w.stillReady(ready, "app=stock")
	if c := w.counts(); c.Installs != 2*bases || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, 2*bases)
	}
}
