package suite

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
)

// owner is what a base's Lease says.
type owner struct {
	holder string
	epoch  int32
}

// owners gives what the Leases of the world's bases say, by Node.
func (w *world) owners() map[string]owner {
	w.Helper()
	list, err := client.CoordinationV1().Leases("kube-node-lease").List(w.Context(),
		metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env})
	w.must(err)
	owners := map[string]owner{}
	for _, l := range list.Items {
		owners[l.Name] = ownerOf(l)
	}
	return owners
}

func ownerOf(l coordinationv1.Lease) owner {
	var o owner
	if l.Spec.HolderIdentity != nil {
		o.holder = *l.Spec.HolderIdentity
	}
	if l.Spec.LeaseTransitions != nil {
		o.epoch = *l.Spec.LeaseTransitions
	}
	return o
}

// members gives who holds the membership Leases, by replica.
func (w *world) members() map[string]string {
	w.Helper()
	list, err := client.CoordinationV1().Leases(harness.Namespace).List(w.Context(), metav1.ListOptions{})
	w.must(err)
	members := map[string]string{}
	for _, l := range list.Items {
		members[l.Name] = ownerOf(l).holder
	}
	return members
}

// ownedBy waits until every base is owned by a member that is none of gone, and gives
// how long that took.
func (w *world) ownedBy(within time.Duration, bases int, gone ...string) time.Duration {
	w.Helper()
	began := time.Now()
	w.eventually(within, func() error {
		members := slices.Collect(maps.Values(w.members()))
		owners := w.owners()
		if len(owners) != bases {
			return fmt.Errorf("%d leases, want %d", len(owners), bases)
		}
		for node, o := range owners {
			if o.holder == "" || !slices.Contains(members, o.holder) || slices.Contains(gone, o.holder) {
				return fmt.Errorf("%s is owned by %q, and members are %v", node, o.holder, members)
			}
		}
		return nil
	})
	return time.Since(began)
}

// incarnation gives who holds a replica's membership Lease, "" for nobody.
func (w *world) incarnation(replica int) string {
	w.Helper()
	return w.members()[fmt.Sprintf("module-controller-%d", replica)]
}

// shares counts the bases of each replica, by its pod's name.
func (w *world) shares() map[string]int {
	w.Helper()
	shares := map[string]int{}
	for _, o := range w.owners() {
		pod, _, _ := strings.Cut(o.holder, "_")
		shares[pod]++
	}
	return shares
}

// fleetOf starts replicas and bases, each base with a module that is Ready.
func fleetOf(t *testing.T, replicas int32, bases int) *world {
	t.Helper()
	return newWorld(t).withBroker().withFleet(bases).withStock(int(replicas), bases)
}

// withStock starts replicas, and a Deployment with a pod on each base that is Ready.
func (w *world) withStock(replicas, bases int, env ...string) *world {
	w.Helper()
	w.withReplicas(replicas, append([]string{"SETTLE_TIME=3s", "LIST_INTERVAL=2s"}, env...)...)
	w.nodesReady(bases)
	w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), int32(bases), spread)
	w.podsReady("app=stock", bases)
	w.settled()
	return w
}

// settled waits until every base is owned by the replica that should own it.
func (w *world) settled() {
	w.Helper()
	w.eventually(patience, func() error {
		for i, c := range w.replicas {
			if away, err := c.Metric("module_controller_bases_misplaced"); err != nil || away > 0 {
				return fmt.Errorf("replica %d owns %v bases that should be others' (%w)", i, away, err)
			}
		}
		return nil
	})
}

// undisturbed has pods come and go, and gives the check that nobody noticed what
// happened since: the history keeps the rules (no Node turned NotReady, no module was
// installed or uninstalled again, no command came late), and no readiness of the pods
// that stayed changed. What happens is to be noted with recorded.fault.
func (w *world) undisturbed(bases int) (check func()) {
	w.Helper()
	const loaders = 4
	ready := readySince(w.pods("app=stock"))
	w.recorded = w.record()
	stop := w.recorded.load(loaders, bases, w.Errorf)
	w.Cleanup(stop)
	return func() {
		w.Helper()
		stop()
		w.eachListed()
		w.Log(summary(w.recorded.keptRules()))
		for uid, since := range readySince(w.pods("app=stock")) {
			if ready[uid] != since {
				w.Errorf("pod %s: ready since %s, was %s", uid, since, ready[uid])
			}
		}
	}
}

// eachListed waits until every base's list was asked for twice more: whoever serves
// it now has seen it and done what followed from it.
func (w *world) eachListed() {
	w.Helper()
	before := w.counts()
	w.eventually(patience, func() error {
		if now := w.counts(); now.Questions < before.Questions+3*before.Bases {
			return fmt.Errorf("%d questions were asked, were %d", now.Questions, before.Questions)
		}
		return nil
	})
}

func TestAKilledReplicasBasesAreTakenOver(t *testing.T) {
	const bases = 60
	w := fleetOf(t, 3, bases)
	check := w.undisturbed(bases)
	if n := len(w.shares()); n != 3 {
		t.Fatalf("%d replicas own bases: %v", n, w.shares())
	}
	victim := w.incarnation(1)
	w.recorded.fault("kill", victim)()
	w.must(w.replicas[1].Kill())
	took := w.ownedBy(12*time.Second, bases, victim)
	t.Logf("all bases of %s were claimed %s after it was killed", victim, took.Round(time.Millisecond))
	check()
	w.must(w.replicas[1].Start(t.Context()))
	w.pod("after", "base-0007", "orders", "1.0.0", jar("orders", "1.0.0"))
	w.ready("after")
}

func TestARollingRestartIsNotFelt(t *testing.T) {
	const bases = 60
	w := fleetOf(t, 3, bases)
	check := w.undisturbed(bases)
	before := w.owners()
	for i := 2; i >= 0; i-- {
		gone := w.incarnation(i)
		w.must(w.replicas[i].Stop(40 * time.Second))
		w.ownedBy(time.Second, bases, gone)
		w.must(w.replicas[i].Start(t.Context()))
	}
	// The bases settle where they belong.
	w.eventually(patience, func() error {
		for pod, n := range w.shares() {
			if float64(n) > 1.15*bases/3 {
				return fmt.Errorf("%s owns %d of %d", pod, n, bases)
			}
		}
		return nil
	})
	w.movedAtMost(2, before)
	check()
}

// Heartbeats over HTTP reach any replica; each base has one owner all the same.
func TestHTTPBasesAmongReplicas(t *testing.T) { httpAmongReplicas(t, 60) }

func httpAmongReplicas(t *testing.T, bases int) {
	w := newWorld(t).withService().withReplicas(3, "SETTLE_TIME=3s", "LIST_INTERVAL=2s").withHTTPFleet(bases)
	w.nodesReady(bases)
	w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), int32(bases), spread)
	w.podsReady("app=stock", bases)
	check := w.undisturbed(bases)
	victim := w.incarnation(2)
	w.recorded.fault("kill", victim)()
	w.must(w.replicas[2].Kill())
	took := w.ownedBy(12*time.Second, bases, victim)
	t.Logf("all bases of %s were claimed %s after it was killed", victim, took.Round(time.Millisecond))
	check()
}

// The whole procedure to scale is to start and to stop replicas.
func TestScalingSharesTheBases(t *testing.T) { scalingShares(t, 100) }

func scalingShares(t *testing.T, bases int) {
	w := fleetOf(t, 1, bases)
	check := w.undisturbed(bases)
	first := w.owners()
	balanced := func(replicas int) {
		t.Helper()
		w.eventually(patience, func() error {
			shares := w.shares()
			for pod, n := range shares {
				if len(shares) != replicas || float64(n) > 1.15*float64(bases)/float64(replicas) {
					return fmt.Errorf("%s owns %d: %v", pod, n, shares)
				}
			}
			return nil
		})
	}
	w.withReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	balanced(3)
	w.withReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	balanced(5)
	var wait sync.WaitGroup
	for _, c := range w.replicas[2:] { // as a StatefulSet with parallel pods does
		wait.Go(func() {
			if err := c.Stop(40 * time.Second); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	balanced(2)
	moves := 0
	for node, o := range w.owners() {
		moves += int(o.epoch - first[node].epoch)
	}
	least := bases*2/3 + bases*2/5 + bases*3/5
	t.Logf("%d moves, %.2f times the least possible", moves, float64(moves)/float64(least))
	if moves > least*5/4 {
		t.Errorf("%d moves, more than 1.25 times the least possible, %d", moves, least)
	}
	check()
}
