package suite

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/controlplane"
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

// ownedBy waits until every base is owned by a replica whose incarnation is none of
// gone, and gives how long that took.
func (w *world) ownedBy(within time.Duration, bases int, gone ...string) time.Duration {
	w.Helper()
	began := time.Now()
	w.eventually(within, func() error {
		owners := w.owners()
		if len(owners) != bases {
			return fmt.Errorf("%d leases, want %d", len(owners), bases)
		}
		for node, o := range owners {
			if o.holder == "" {
				return fmt.Errorf("%s has no owner", node)
			}
			for _, g := range gone {
				if o.holder == g {
					return fmt.Errorf("%s is still owned by %s", node, g)
				}
			}
		}
		return nil
	})
	return time.Since(began)
}

// incarnation gives who holds a replica's membership Lease.
func (w *world) incarnation(replica int) string {
	w.Helper()
	l, err := client.CoordinationV1().Leases(harness.Namespace).Get(w.Context(), fmt.Sprintf("module-controller-%d", replica), metav1.GetOptions{})
	w.must(err)
	return ownerOf(*l).holder
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
func (w *world) withStock(replicas, bases int) *world {
	w.Helper()
	w.withReplicas(replicas, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
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
			if away, err := c.Metric("module_controller_bases_away"); err != nil || away > 0 {
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
	stop := w.recorded.load(loaders, bases)
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

// A pod whose deletion began with one owner is ended by the next: it stays until its
// module is gone, however long its base does not answer.
func TestADeletionOutlivesItsOwner(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(2).withReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	w.nodesReady(2)
	soon := func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(1)) }
	w.pod("runs", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"), soon)
	w.ready("runs")
	w.must(w.fleet.Do("base-0001", "silence"))
	w.pod("waits", "base-0001", "orders", "1.0.0", jar("orders", "1.0.0"), soon)
	w.settled()
	w.deletePod("runs")
	w.deletePod("waits")
	victim := w.owners()[w.nodeOf("base-0001")].holder
	for i := range w.replicas {
		if w.incarnation(i) == victim {
			w.must(w.replicas[i].Kill())
		}
	}
	w.ownedBy(12*time.Second, 2, victim)
	for over := time.Now().Add(5 * time.Second); time.Now().Before(over); {
		for _, name := range []string{"runs", "waits"} {
			if _, err := w.get(name); err != nil {
				t.Fatalf("pod %s went before its module: %v", name, err)
			}
		}
	}
	w.must(w.fleet.Do("base-0001", "resume"))
	w.gone("runs", patience)
	w.gone("waits", patience)
	w.serves("base-0001")
	if c := w.counts(); c.Uninstalls != c.Installs {
		t.Errorf("%d installs and %d uninstalls", c.Installs, c.Uninstalls)
	}
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
	for node, o := range w.owners() {
		if moves := o.epoch - before[node].epoch; moves > 2 {
			t.Errorf("%s moved %d times", node, moves)
		}
	}
	check()
}

func TestAFrozenReplicaComesBackAsSomebodyNew(t *testing.T) {
	const bases = 30
	w := fleetOf(t, 3, bases)
	check := w.undisturbed(bases)
	victim := w.incarnation(0)
	thawed := w.recorded.fault("freeze", victim)
	w.must(w.replicas[0].Signal(syscall.SIGSTOP))
	woken := time.After(3 * 10 * time.Second) // three times the duration of its Lease
	w.ownedBy(20*time.Second, bases, victim)
	<-woken
	w.must(w.replicas[0].Signal(syscall.SIGCONT))
	thawed()
	w.eventually(patience, func() error {
		if now := w.incarnation(0); now == victim || now == "" {
			return fmt.Errorf("replica 0 is %q", now)
		}
		if w.shares()["module-controller-0"] == 0 {
			return fmt.Errorf("replica 0 owns nothing: %v", w.shares())
		}
		return nil
	})
	check()
}

// What somebody does to Leases and Nodes by hand is put right, and no module notices.
func TestWhatIsEditedByHandIsPutRight(t *testing.T) {
	const bases = 12
	w := fleetOf(t, 2, bases)
	check := w.undisturbed(bases)
	leases := client.CoordinationV1().Leases("kube-node-lease")
	before := w.owners()
	ended := w.recorded.fault("edited by hand", "")
	for base, patch := range map[string]string{
		"base-0001": `{"spec":{"holderIdentity":"somebody"}}`,
		"base-0002": `{"spec":{"holderIdentity":""}}`,
		"base-0003": `{"spec":{"holderIdentity":null,"leaseTransitions":null,"renewTime":null}}`,
		"base-0004": `{"metadata":{"labels":null}}`,
		"base-0005": `{"spec":{"renewTime":"2020-01-01T00:00:00.000000Z"}}`,
	} {
		_, err := leases.Patch(t.Context(), w.nodeOf(base), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		w.must(err)
	}
	w.must(leases.Delete(t.Context(), w.nodeOf("base-0006"), metav1.DeleteOptions{}))
	w.must(client.CoordinationV1().Leases(harness.Namespace).Delete(t.Context(), "module-controller-1", metav1.DeleteOptions{}))
	w.ownedBy(patience, bases)
	ended()
	w.settled()
	for node, now := range w.owners() {
		if now.epoch < before[node].epoch {
			t.Errorf("the epoch of %s fell from %d to %d", node, before[node].epoch, now.epoch)
		}
	}
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

// In an outage of the API everybody falls silent and no base changes hands. After it
// everything goes on, also where no base says anything by itself.
func TestAnAPIOutageMovesNothing(t *testing.T) { apiOutage(t, 30*time.Second) }

func apiOutage(t *testing.T, lasts time.Duration) {
	const bases = 30
	w := fleetOf(t, 3, bases)
	w.apiAway = true
	ready := readySince(w.pods("app=stock"))
	installs := w.counts().Installs
	before := w.owners()
	w.must(w.fleet.Do("*", "stop-heartbeat"))
	w.must(plane.Freeze(controlplane.APIServer))
	w.liveFor(lasts)
	w.must(plane.Thaw(controlplane.APIServer))
	w.eventually(patience, func() error {
		_, err := client.CoreV1().Namespaces().Get(t.Context(), w.env, metav1.GetOptions{})
		return err
	})
	w.eachListed()
	for node, o := range w.owners() {
		if o != before[node] {
			t.Errorf("%s moved from %v to %v", node, before[node], o)
		}
	}
	if c := w.counts(); c.Installs != installs || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, installs)
	}
	for uid, since := range readySince(w.pods("app=stock")) {
		if ready[uid] != since {
			t.Errorf("pod %s: ready since %s, was %s", uid, since, ready[uid])
		}
	}
}

// Installs go on while every replica is restarted: each takes effect exactly once,
// and the epochs of a base's commands never fall.
func TestInstallsGoOnInARollingRestart(t *testing.T) {
	const bases, pods = 60, 240
	w := fleetOf(t, 3, bases)
	check := w.undisturbed(bases)
	asked := make(map[string]time.Time, pods)
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		tick := time.NewTicker(40 * time.Millisecond)
		defer tick.Stop()
		for n := range pods {
			<-tick.C
			name := fmt.Sprintf("m%d", n)
			base := fmt.Sprintf("base-%04d", 1+n%bases)
			asked[base+" "+name] = time.Now()
			if _, err := w.createPod(name, base, name, "1.0.0", jar(name, "1.0.0")); err != nil {
				t.Error(err)
			}
		}
	}()
	for i := 2; i >= 0; i-- {
		w.must(w.replicas[i].Stop(40 * time.Second))
		w.must(w.replicas[i].Start(t.Context()))
	}
	<-loaded
	for n := range pods {
		w.ready(fmt.Sprintf("m%d", n))
	}
	var waited []time.Duration
	for n := range bases {
		waited = append(waited, w.commandedAfter(fmt.Sprintf("base-%04d", n+1), asked)...)
	}
	slices.Sort(waited)
	t.Logf("%d installs while all replicas were restarted: asked to commanded p50 %s, p99 %s, most %s", len(waited),
		waited[len(waited)/2].Round(time.Millisecond), waited[len(waited)*99/100].Round(time.Millisecond), waited[len(waited)-1].Round(time.Millisecond))
	check()
}

// commandedAfter gives how long each install that was asked for took to come to a
// base.
func (w *world) commandedAfter(base string, asked map[string]time.Time) (waited []time.Duration) {
	w.Helper()
	b, err := w.fleet.Base(base)
	w.must(err)
	for _, c := range b.Commands {
		name, _, _ := strings.Cut(c.Module, ":")
		if at, ok := asked[base+" "+name]; ok && c.Command == "installBiz" {
			waited = append(waited, c.At.Sub(at))
		}
	}
	return waited
}
