package suite

import (
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	"module-controller/e2e/world"
)

// Cut off from the API server alone, a replica stops sending, and others claim its
// bases. It returns with a new incarnation.
func TestAReplicaCutOffFromTheAPI(t *testing.T) {
	t.Parallel()
	const bases = 30
	w := proxiedFleet(t, bases)
	w.APIUnreachable = true
	check := w.Undisturbed(bases)
	victim := w.Incarnation(1)
	ended := w.Recorder.Fault("api blackhole", victim, victim)
	w.Must(w.Links[1].API.Blackhole())
	took := w.AwaitOwned(20*time.Second, bases, victim)
	t.Logf("its bases were claimed %s after it was cut off", took.Round(time.Millisecond))
	ended() // it may renew again while the proxy opens
	w.Must(w.Links[1].API.Pass())
	w.AwaitIncarnation(1, victim)
	w.AwaitPlaced()
	check()
}

// Cut off from the broker alone, a replica transfers its bases to those who are not, and
// takes no base for gone.
func TestAReplicaCutOffFromTheBroker(t *testing.T) {
	t.Parallel()
	const bases = 30
	w := proxiedFleet(t, bases)
	check := w.Undisturbed(bases)
	victim := w.Incarnation(1)
	ended := w.Recorder.Fault("broker cut", "")
	w.Must(w.Links[1].Broker.Cut())
	took := w.AwaitOwned(world.Timeout, bases, victim)
	t.Logf("its bases were transferred %s after it was cut off", took.Round(time.Millisecond))
	if now := w.Incarnation(1); now != victim {
		t.Errorf("replica 1 is %s, was %s: its session should go on", now, victim)
	}
	w.Must(w.Links[1].Broker.Pass())
	ended()
	w.Eventually(world.Timeout, func() error {
		if w.Shares()["module-controller-1"] == 0 {
			return fmt.Errorf("replica 1 owns nothing: %v", w.Shares())
		}
		return nil
	})
	check()
}

func proxiedFleet(t *testing.T, bases int) *world.World {
	t.Helper()
	w := cluster.New(t).WithBroker().WithFleet(bases)
	w.Proxied = true
	return w.WithStock(3, bases)
}

// Replicas that reach nobody end on a signal, although they cannot transfer their bases.
// Started again, each goes on with its own, and nobody noticed.
func TestPartitionedReplicasEndOnASignal(t *testing.T) {
	t.Parallel()
	const bases, drain = 30, 8 * time.Second // with it, the Leases are renewed again before the Nodes' grace is over
	w := cluster.New(t).WithBroker().WithFleet(bases)
	w.Proxied, w.APIUnreachable = true, true
	w.WithStock(3, bases, "DRAIN_TIMEOUT="+drain.String())
	check := w.Undisturbed(bases)
	before, sessions := w.Owners(), slices.Collect(maps.Values(w.Members()))
	ended := w.Recorder.Fault("cut from all", "", sessions...)
	for i := range w.Links {
		w.Must(w.Links[i].API.Cut())
		w.Must(w.Links[i].Broker.Cut())
	}
	w.StopAll(drain+10*time.Second, w.Replicas...)
	for node, o := range w.Owners() {
		if o != before[node] {
			t.Errorf("%s is %v's, was %v's", node, o, before[node])
		}
	}
	for i := range w.Links {
		w.Must(w.Links[i].API.Pass())
		w.Must(w.Links[i].Broker.Pass())
	}
	w.StartAll(w.Replicas...)
	ended()
	w.AwaitOwned(world.Timeout, bases, sessions...)
	w.AwaitPlaced()
	check()
}

// Two replicas with one client id throw each other out of the broker. They say so, and
// wait longer and longer. The one that stays serves the bases.
func TestTwoReplicasWithOneClientID(t *testing.T) {
	t.Parallel()
	const bases, complaint = 3, "another client may use our client id"
	w := cluster.New(t).WithBroker().WithFleet(bases).WithReplicas(2, "CLIENT_ID=the-same", "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	began := time.Now()
	for i := range w.Replicas {
		w.Eventually(world.Timeout, func() error {
			if w.LogLines(i, complaint) == 0 {
				return fmt.Errorf("replica %d does not say that %s", i, complaint)
			}
			return nil
		})
	}
	w.StayLive(8 * time.Second)
	const rarely = 15 // connections, between which the longest pause doubles from 0.5 s on
	for i := range w.Replicas {
		if n := w.LogLines(i, "broker connected"); n == 0 || n > rarely {
			t.Errorf("replica %d connected %d times in %s", i, n, time.Since(began).Round(time.Second))
		}
	}
	w.Stop(1)
	w.AwaitNodesReady(bases)
	w.CreatePod("stock", "base-0002", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
}
