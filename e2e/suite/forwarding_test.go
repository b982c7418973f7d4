package suite

import (
	"strconv"
	"strings"
	"testing"

	"module-controller/e2e/world"
)

// listenPort gives the port on which a replica takes heartbeats of bases.
func listenPort(w *world.World, replica int) int {
	w.Helper()
	port, err := strconv.Atoi(w.Replicas[replica].Setting("HTTP_TUNNEL_LISTEN_PORT"))
	w.Must(err)
	return port
}

// Where all heartbeats reach one replica, which owns few of the bases, and no base
// answers anything, each is forwarded to the base's owner: nothing else keeps a Node
// Ready.
func TestHeartbeatsAreForwardedToTheOwners(t *testing.T) {
	t.Parallel()
	const bases = 30
	w := cluster.New(t).WithService().WithReplicas(3, "SETTLE_TIME=3s", "STALE_AFTER=6s", "LIST_INTERVAL=5s", "UNRESPONSIVE_AFTER=1h", "LINK_GRACE=1s")
	w.Service.Only(listenPort(w, 0))
	w.WithHTTPFleet(bases)
	w.AwaitNodesReady(bases)
	w.AwaitPlaced()
	owners := w.Owners()
	if n := w.Shares()["module-controller-0"]; n == 0 || n > bases/2 {
		t.Fatalf("the replica that gets all heartbeats owns %d of %d bases", n, bases)
	}
	w.Must(w.Fleet.Do("*", "mute"))
	before := w.Readiness()
	// Two that fall silent, one after the other, show when the others would have.
	for _, silent := range []string{"base-0001", "base-0002"} {
		w.Must(w.Fleet.Do(silent, "silence"))
		w.AwaitNodeReason(silent, "BaseSilent")
		delete(before, w.NodeName(silent))
	}
	now := w.Readiness()
	for node, was := range before {
		if now[node] != was || !strings.HasPrefix(was, "BaseAlive ") {
			t.Errorf("%s, of %s, shows %s; showed %s", node, owners[node].Holder, now[node], was)
		}
	}
	for node, o := range w.Owners() {
		if o != owners[node] || o.Holder == "" {
			t.Errorf("%s is %v's, was %v's", node, o, owners[node])
		}
	}
	for i, c := range w.Replicas {
		if n, err := c.Metric("module_controller_messages_dropped_total", `reason="peer_`); err != nil || n != 0 {
			t.Errorf("replica %d dropped %v heartbeats of peers (%v)", i, n, err)
		}
	}
}
