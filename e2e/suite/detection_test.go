package suite

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"testing"
	"time"

	"module-controller/e2e/world"
)

// clientOf is the client id of an incarnation.
func clientOf(incarnation string) string { return "module-controller-" + incarnation }

var connected = regexp.MustCompile(`(?m)^(\S+) client (\S+) connected$`)

// connections gives when a client id was let in at the embedded broker.
func connections(w *world.World, clientID string) (at []time.Time) {
	w.Helper()
	log, err := os.ReadFile(filepath.Join(w.Dir, "broker.log"))
	w.Must(err)
	for _, line := range connected.FindAllStringSubmatch(string(log), -1) {
		if line[2] == clientID {
			when, err := time.Parse(time.RFC3339Nano, line[1])
			w.Must(err)
			at = append(at, when)
		}
	}
	return at
}

// awaitClaims has a fault stop a replica and waits until the Recorder saw that its bases
// are others'. It gives when the first one was claimed.
func awaitClaims(w *world.World, r *world.Recorder, replica, bases int, begin func() error) (first time.Time) {
	w.Helper()
	victim, began := w.Incarnation(replica), time.Now()
	w.Must(begin())
	w.AwaitOwned(20*time.Second, bases, victim)
	w.Eventually(world.Timeout, func() error {
		for base, o := range r.LastOwners() {
			if o.Holder == victim {
				return fmt.Errorf("%s was seen to be %s's last", base, victim)
			}
		}
		for _, c := range slices.Backward(r.Claims()) {
			if c.At.After(began) {
				first = c.At
			}
		}
		return nil
	})
	return first
}

// checkFastFailover kills a replica and checks that all its bases are others' as soon as
// can be when the replica is suspected: it need not be silent for the failure timeout of
// 11 s then, but for the 3.5 s until its renew deadline. No other World may run meanwhile.
func checkFastFailover(w *world.World, replica, bases int) (first time.Time) {
	w.Helper()
	const suspected = 5 * time.Second
	r := w.Record()
	r.Fault("kill", w.Incarnation(replica))()
	first = awaitClaims(w, r, replica, bases, w.Replicas[replica].Kill)
	report := r.KeptRules()
	w.Log(report)
	if report.Kills != 1 || report.Takeover > suspected {
		w.Errorf("%d kills, after which the last base was owned again within %s, want %s", report.Kills, report.Takeover, suspected)
	}
	return first
}

// The broker publishes a dead replica's last will. Whoever expires the replica first has
// the broker close what it may have open there.
func TestALastWillSpeedsUpFailover(t *testing.T) {
	const bases = 30
	w := cluster.NewFleet(t, 3, bases)
	victim := w.Incarnation(1)
	first := checkFastFailover(w, 1, bases)
	checkFenced(w, victim, first)
}

// checkFenced checks that somebody connected to the broker in the name of a victim, which
// closes what it had open, before its first base was claimed.
func checkFenced(w *world.World, victim string, first time.Time) {
	w.Helper()
	if at := connections(w, clientOf(victim)); len(at) < 2 || !at[1].Before(first) {
		w.Errorf("connections in the name of %s: %v; its first base was claimed at %v", victim, at, first)
	}
}

// Over HTTP nobody listens where a dead member did, which the replica that forwards
// heartbeats is the first to see.
func TestARefusedConnectionSpeedsUpFailover(t *testing.T) {
	const bases = 30
	w := cluster.New(t).WithService().WithHTTPFleet(bases).WithStock(3, bases)
	w.Service.Only(listenPort(w, 0))
	checkFastFailover(w, 1, bases)
}

// A frozen replica keeps its connection. The broker closes it before the replica's bases
// are claimed, and its incarnation does not connect again.
func TestAFrozenReplicaIsFencedAtTheBroker(t *testing.T) {
	t.Parallel()
	const bases = 12
	w := cluster.NewFleet(t, 3, bases)
	victim := w.Incarnation(1)
	first := awaitClaims(w, w.Record(), 1, bases, func() error { return w.Replicas[1].Signal(syscall.SIGSTOP) })
	checkFenced(w, victim, first)
	woken := time.Now()
	w.Must(w.Replicas[1].Signal(syscall.SIGCONT))
	w.Eventually(world.Timeout, func() error {
		if now := w.Incarnation(1); now == "" || now == victim || len(connections(w, clientOf(now))) == 0 {
			return fmt.Errorf("replica 1 is %q, which the broker does not know", now)
		}
		return nil
	})
	if at := connections(w, clientOf(victim)); at[len(at)-1].After(woken) {
		t.Errorf("connections in the name of %s: %v; it was woken at %v", victim, at, woken)
	}
}

// Who was cut off from the broker connects again only once it has renewed its membership:
// not while it cannot reach the API server. (Its Lease is long here, so that nobody
// expires it and connects in its name.)
func TestNobodyReconnectsWithoutARenewal(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(3)
	w.Proxied, w.APIUnreachable = true, true
	w.WithReplicas(3, "MEMBER_LEASE_DURATION=60s", "NODE_MONITOR_GRACE=5m")
	w.AwaitNodesReady(3)
	cut := clientOf(w.Incarnation(1))
	others := []string{clientOf(w.Incarnation(0)), clientOf(w.Incarnation(2))}
	w.Must(w.Links[1].API.Cut())
	for n := range 3 {
		w.Must(w.Broker.Kill())
		w.StartBroker()
		w.Eventually(world.Timeout, func() error {
			for _, c := range others {
				if at := connections(w, c); len(at) < n+2 {
					return fmt.Errorf("%s connected %d times", c, len(at))
				}
			}
			return nil
		})
	}
	if at := connections(w, cut); len(at) != 1 {
		t.Errorf("%s connected while it could not renew its membership: %v", cut, at)
	}
	w.Must(w.Links[1].API.Pass())
	w.Eventually(world.Timeout, func() error {
		if at := connections(w, cut); len(at) != 2 {
			return fmt.Errorf("%s connected %d times", cut, len(at))
		}
		return nil
	})
}
