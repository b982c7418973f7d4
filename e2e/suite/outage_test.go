package suite

import (
	"maps"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/controlplane"
)

// While the API server is away nothing happens to modules, and afterwards all goes
// on as before.
func TestAnAPIOutageChangesNothing(t *testing.T) {
	const bases, outage = 5, 10 * time.Second
	w := newWorld(t).withBroker().withFleet(bases).withController()
	w.nodesReady(bases)
	w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), bases, spread)
	w.podsReady("app=stock", bases)
	ready := readySince(w.pods("app=stock"))
	w.apiAway = true
	w.must(plane.Kill(controlplane.APIServer))
	w.liveFor(outage)
	w.must(plane.Restart(t.Context(), controlplane.APIServer))
	w.answers()
	w.pod("after", "base-0002", "orders", "1.0.0", jar("orders", "1.0.0"))
	w.ready("after")
	if c := w.counts(); c.Installs != bases+1 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases+1)
	}
	w.stillReady(ready, "app=stock")
	for _, n := range w.nodes() {
		if !nodeReady(n) {
			t.Errorf("node %s is not ready", n.Name)
		}
	}
}

// In an outage of the API everybody falls silent and no base changes hands. After it
// everything goes on, also where no base says anything by itself.
func TestAnAPIOutageMovesNothing(t *testing.T) { apiOutage(t, 30*time.Second) }

func apiOutage(t *testing.T, lasts time.Duration) {
	const bases = 30
	outage(t, bases, lasts, func() error { return plane.Freeze(controlplane.APIServer) }, func() error { return plane.Thaw(controlplane.APIServer) })
}

// outage has replicas live through one of the API, and checks that it changed nothing
// but, where it lasted longer than the Nodes' grace, their readiness for a while. It
// lasts longer than a base may be silent, and longer than one is waited for: who may
// not ask must not wonder that nobody answers.
func outage(t *testing.T, bases int, lasts time.Duration, begin, end func() error) {
	t.Helper()
	const grace = 50 * time.Second
	w := newWorld(t).withBroker().withFleet(bases).withStock(3, bases, "STALE_AFTER=10s", "GONE_AFTER=15s")
	w.apiAway = true
	ready := readySince(w.pods("app=stock"))
	installs := w.counts().Installs
	owners, nodes := w.owners(), uids(w.nodes())
	w.must(w.fleet.Do("*", "stop-heartbeat"))
	w.recorded = w.record()
	w.must(begin())
	w.liveFor(lasts)
	w.must(end())
	w.answers()
	w.eachListed()
	w.nodesReady(bases)
	w.podsReady("app=stock", bases)
	sights := w.recorded.history().Sights
	for _, s := range sights {
		if s.What == "deleted" || lasts < grace {
			t.Errorf("the Node of %s was %s at %s", s.Base, s.What, s.At.Format(time.StampMilli))
		}
	}
	if now := uids(w.nodes()); !maps.Equal(now, nodes) {
		t.Errorf("nodes are %v, were %v", now, nodes)
	}
	if now := w.owners(); !maps.Equal(now, owners) {
		t.Errorf("owners are %v, were %v", now, owners)
	}
	if c := w.counts(); c.Installs != installs || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, installs)
	}
	switch now := readySince(w.pods("app=stock")); {
	case lasts < grace && !maps.Equal(now, ready):
		t.Errorf("pods are ready since %v, were since %v", now, ready)
	case !slices.Equal(slices.Sorted(maps.Keys(now)), slices.Sorted(maps.Keys(ready))):
		t.Errorf("pods are %v, were %v", now, ready)
	}
	t.Logf("Nodes were seen not to be Ready %d times in %s without the API", len(sights), lasts)
}

func uids(nodes []corev1.Node) map[string]types.UID {
	of := map[string]types.UID{}
	for _, n := range nodes {
		of[n.Name] = n.UID
	}
	return of
}
