package scenario

import (
	"maps"
	"slices"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/history"
	"module-controller/e2e/world"
)

// grace is how long a Node's Lease may be old until Kubernetes takes the Node for
// NotReady.
const grace = 50 * time.Second

// APIOutage freezes the API server for a time: see Outage.
func APIOutage(t *testing.T, c *world.Cluster, lasts time.Duration) {
	t.Helper()
	Outage(t, c, lasts,
		func() error { return c.Plane.Freeze(controlplane.APIServer) },
		func() error { return c.Plane.Thaw(controlplane.APIServer) })
}

// Outage has replicas live through an outage of the API, which begin and end make, and
// checks that it changed nothing but, where it lasted longer than the Nodes' grace, their
// readiness for a while. It lasts longer than a base may be silent, and longer than one
// is waited for: silence while a replica could not send does not count.
func Outage(t *testing.T, c *world.Cluster, lasts time.Duration, begin, end func() error) {
	t.Helper()
	const bases = 30
	w := c.New(t).WithBroker().WithFleet(bases).WithStock(3, bases, "STALE_AFTER=10s", "GONE_AFTER=15s")
	w.APIUnreachable = true
	before := see(w)
	w.Must(w.Fleet.Do("*", "stop-heartbeat"))
	w.Recorder = w.Record()
	w.Must(begin())
	w.StayLive(lasts)
	w.Must(end())
	w.AwaitAPI()
	w.AwaitListed()
	w.AwaitNodesReady(bases)
	w.AwaitPodsReady("app=stock", bases)
	seen := w.Recorder.History().Observations
	checkObservations(t, seen, lasts)
	before.compare(t, see(w), lasts)
	t.Logf("Nodes were seen not to be Ready %d times in %s without the API", len(seen), lasts)
}

func checkObservations(t *testing.T, seen []history.Observation, lasts time.Duration) {
	t.Helper()
	for _, o := range seen {
		if o.What == "deleted" || lasts < grace {
			t.Errorf("the Node of %s was %s at %s", o.Base, o.What, o.At.Format(time.StampMilli))
		}
	}
}

// state is what an outage must not change.
type state struct {
	owners               map[string]world.Owner
	nodes                map[string]types.UID // by name
	ready                map[string]string    // of pods: since when, by UID
	installs, uninstalls int
}

func see(w *world.World) state {
	w.Helper()
	counts := w.Counts()
	return state{
		owners: w.Owners(), nodes: world.UIDs(w.Nodes()), ready: world.ReadySince(w.Pods("app=stock")),
		installs: counts.Installs, uninstalls: counts.Uninstalls,
	}
}

func (before state) compare(t *testing.T, now state, lasts time.Duration) {
	t.Helper()
	if !maps.Equal(now.nodes, before.nodes) {
		t.Errorf("nodes are %v, were %v", now.nodes, before.nodes)
	}
	if !maps.Equal(now.owners, before.owners) {
		t.Errorf("owners are %v, were %v", now.owners, before.owners)
	}
	if now.installs != before.installs || now.uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", now.installs, now.uninstalls, before.installs)
	}
	switch { // beyond the grace pods turn not Ready with their Nodes, but none may be replaced
	case lasts < grace && !maps.Equal(now.ready, before.ready):
		t.Errorf("pods are ready since %v, were since %v", now.ready, before.ready)
	case !slices.Equal(slices.Sorted(maps.Keys(now.ready)), slices.Sorted(maps.Keys(before.ready))):
		t.Errorf("pods are %v, were %v", now.ready, before.ready)
	}
}
