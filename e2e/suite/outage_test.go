package suite

import (
	"testing"
	"time"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/scenario"
	"module-controller/e2e/world"
)

// While the API server is away nothing happens to modules, and afterwards all goes
// on as before.
func TestAnAPIOutageChangesNothing(t *testing.T) {
	const bases, outage = 5, 10 * time.Second
	w := cluster.New(t).WithBroker().WithFleet(bases).WithController()
	w.AwaitNodesReady(bases)
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), bases, world.Spread)
	w.AwaitPodsReady("app=stock", bases)
	ready := world.ReadySince(w.Pods("app=stock"))
	w.APIUnreachable = true
	w.Must(cluster.Plane.Kill(controlplane.APIServer))
	w.StayLive(outage)
	w.RestartAPIServer()
	w.CreatePod("after", "base-0002", "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitReady("after")
	if c := w.Counts(); c.Installs != bases+1 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases+1)
	}
	w.CheckReadySince(ready, "app=stock")
	for _, n := range w.Nodes() {
		if !world.NodeReady(n) {
			t.Errorf("node %s is not ready", n.Name)
		}
	}
}

// In an API outage all replicas stop sending and no base changes its owner. After it
// everything goes on, also where no base sends anything by itself.
func TestAnAPIOutageMovesNothing(t *testing.T) { scenario.APIOutage(t, &cluster, 30*time.Second) }
