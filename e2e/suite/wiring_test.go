package suite

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
)

// listens gives the port where a replica says that members find it.
func (w *world) listens(replica int) int {
	w.Helper()
	l, err := client.CoordinationV1().Leases(harness.Namespace).Get(w.Context(), fmt.Sprintf("module-controller-%d", replica), metav1.GetOptions{})
	w.must(err)
	at, err := netip.ParseAddrPort(l.Annotations["virtual-kubelet.koupleless.io/address"])
	w.must(err)
	return int(at.Port())
}

// readiness gives the reason of each Node's Ready condition and since when it is so.
func (w *world) readiness() map[string]string {
	w.Helper()
	all := map[string]string{}
	for _, n := range w.nodes() {
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				all[n.Name] = c.Reason + " since " + c.LastTransitionTime.String()
			}
		}
	}
	return all
}

// Where all heartbeats reach one replica, which owns few of the bases, and no base
// answers anything, each is passed on to the base's owner: nothing else keeps a Node
// Ready.
func TestHeartbeatsArePassedOnToTheOwners(t *testing.T) {
	const bases = 30
	w := newWorld(t).withService().withReplicas(3, "SETTLE_TIME=3s", "STALE_AFTER=6s", "LIST_INTERVAL=5s", "ANSWER_AFTER=1h", "LINK_GRACE=1s")
	w.service.Only(w.listens(0))
	w.withHTTPFleet(bases)
	w.nodesReady(bases)
	w.settled()
	owners := w.owners()
	if n := w.shares()["module-controller-0"]; n == 0 || n > bases/2 {
		t.Fatalf("the replica that hears all owns %d of %d bases", n, bases)
	}
	w.must(w.fleet.Do("*", "mute"))
	before := w.readiness()
	// Two that fall silent, one after the other, tell when the others would have.
	for _, silent := range []string{"base-0001", "base-0002"} {
		w.must(w.fleet.Do(silent, "silence"))
		w.nodeShows(silent, "BaseSilent")
		delete(before, w.nodeOf(silent))
	}
	now := w.readiness()
	for node, was := range before {
		if now[node] != was || !strings.HasPrefix(was, "BaseAlive ") {
			t.Errorf("%s, of %s, shows %s; showed %s", node, owners[node].holder, now[node], was)
		}
	}
	for node, o := range w.owners() {
		if o != owners[node] || o.holder == "" {
			t.Errorf("%s is %v's, was %v's", node, o, owners[node])
		}
	}
	for i, c := range w.replicas {
		if n, err := c.Metric("module_controller_messages_dropped_total", `reason="peer_`); err != nil || n != 0 {
			t.Errorf("replica %d dropped %v heartbeats of peers (%v)", i, n, err)
		}
	}
}

// clientOf is the client id of an incarnation.
func clientOf(incarnation string) string { return "module-controller-" + incarnation }

var connected = regexp.MustCompile(`(?m)^(\S+) client (\S+) connected$`)

// connections gives when a client id was let in at the embedded broker.
func (w *world) connections(clientID string) (at []time.Time) {
	w.Helper()
	log, err := os.ReadFile(filepath.Join(w.dir, "broker.log"))
	w.must(err)
	for _, line := range connected.FindAllStringSubmatch(string(log), -1) {
		if line[2] == clientID {
			when, err := time.Parse(time.RFC3339Nano, line[1])
			w.must(err)
			at = append(at, when)
		}
	}
	return at
}

// taken has a fault end what a replica does and waits until the recorder saw that its
// bases are others'. It gives when the first one was.
func (w *world) taken(r *recorder, replica, bases int, begin func() error) (first time.Time) {
	w.Helper()
	victim, began := w.incarnation(replica), time.Now()
	w.must(begin())
	w.ownedBy(20*time.Second, bases, victim)
	w.eventually(patience, func() error {
		r.mu.Lock()
		defer r.mu.Unlock()
		for base, o := range r.last {
			if o.holder == victim {
				return fmt.Errorf("%s was seen to be %s's last", base, victim)
			}
		}
		for _, c := range slices.Backward(r.h.Claims) {
			if c.At.After(began) {
				first = c.At
			}
		}
		return nil
	})
	return first
}

// soonTaken kills a replica and checks that all its bases are others' as soon as can be
// when somebody tells of the death: it need not be silent for 11 s then, but for the
// 3.5 s in which it may act.
func (w *world) soonTaken(replica, bases int) (first time.Time) {
	w.Helper()
	const told = 5 * time.Second
	r := w.record()
	r.fault("kill", w.incarnation(replica))()
	first = w.taken(r, replica, bases, w.replicas[replica].Kill)
	report := r.keptRules()
	w.Log(summary(report))
	if report.Kills != 1 || report.Takeover > told {
		w.Errorf("%d kills, after which the last base was owned again within %s, want %s", report.Kills, report.Takeover, told)
	}
	return first
}

// The broker tells of a death, by the last will. Whoever kills the dead replica's Lease
// first has the broker end what it may have open there.
func TestADeathIsToldByTheBroker(t *testing.T) {
	const bases = 30
	w := fleetOf(t, 3, bases)
	victim := w.incarnation(1)
	first := w.soonTaken(1, bases)
	w.endedAtTheBroker(victim, first)
}

// endedAtTheBroker checks that somebody connected in the name of a victim, which ends
// what it had open, before its first base was taken.
func (w *world) endedAtTheBroker(victim string, first time.Time) {
	w.Helper()
	if at := w.connections(clientOf(victim)); len(at) < 2 || !at[1].Before(first) {
		w.Errorf("connections in the name of %s: %v; its first base was taken at %v", victim, at, first)
	}
}

// Over HTTP nobody listens where a dead member did, which who passes heartbeats on is
// the first to see.
func TestADeathIsToldByARefusedConnection(t *testing.T) {
	const bases = 30
	w := newWorld(t).withService().withHTTPFleet(bases).withStock(3, bases)
	w.service.Only(w.listens(0))
	w.soonTaken(1, bases)
}

// A replica that stands still keeps its connection. It is ended at the broker before its
// bases are taken, and it does not come back there as who it was.
func TestAFrozenReplicaIsCutOffAtTheBroker(t *testing.T) {
	const bases = 12
	w := fleetOf(t, 3, bases)
	victim := w.incarnation(1)
	first := w.taken(w.record(), 1, bases, func() error { return w.replicas[1].Signal(syscall.SIGSTOP) })
	w.endedAtTheBroker(victim, first)
	woken := time.Now()
	w.must(w.replicas[1].Signal(syscall.SIGCONT))
	w.eventually(patience, func() error {
		if now := w.incarnation(1); now == "" || now == victim || len(w.connections(clientOf(now))) == 0 {
			return fmt.Errorf("replica 1 is %q, which the broker does not know", now)
		}
		return nil
	})
	if at := w.connections(clientOf(victim)); at[len(at)-1].After(woken) {
		t.Errorf("connections in the name of %s: %v; it was woken at %v", victim, at, woken)
	}
}

// Who was cut off from the broker connects again only once it proved that it lives: not
// while it cannot reach the API server. (Its Lease is long here, so that nobody kills
// it and connects in its name.)
func TestNobodyConnectsWithoutAFreshProof(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(3)
	w.proxied, w.apiAway = true, true
	w.withReplicas(3, "MEMBER_LEASE_DURATION=60s", "NODE_MONITOR_GRACE=5m")
	w.nodesReady(3)
	cut := clientOf(w.incarnation(1))
	others := []string{clientOf(w.incarnation(0)), clientOf(w.incarnation(2))}
	w.must(w.links[1].api.Cut())
	for n := range 3 {
		w.must(w.broker.Kill())
		w.startBroker()
		w.eventually(patience, func() error {
			for _, c := range others {
				if at := w.connections(c); len(at) < n+2 {
					return fmt.Errorf("%s connected %d times", c, len(at))
				}
			}
			return nil
		})
	}
	if at := w.connections(cut); len(at) != 1 {
		t.Errorf("%s connected while it could not prove that it lives: %v", cut, at)
	}
	w.must(w.links[1].api.Pass())
	w.eventually(patience, func() error {
		if at := w.connections(cut); len(at) != 2 {
			return fmt.Errorf("%s connected %d times", cut, len(at))
		}
		return nil
	})
}
