package suite

import (
	"fmt"
	"maps"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
)

// watchNodes notes every Node of the world that is seen not ready, and every one
// that is deleted, until stop is called.
func (w *world) watchNodes() (stop func() []string) {
	w.Helper()
	watcher, err := client.CoreV1().Nodes().Watch(w.Context(), metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + w.env})
	w.must(err)
	seen := make(chan []string)
	go func() {
		var bad []string
		for e := range watcher.ResultChan() {
			node, ok := e.Object.(*corev1.Node)
			if ok && (e.Type == watch.Deleted || !nodeReady(*node)) {
				bad = append(bad, fmt.Sprintf("%s %s: %v", e.Type, node.Name, node.Status.Conditions))
			}
		}
		seen <- bad
	}()
	return func() []string {
		watcher.Stop()
		return <-seen
	}
}

func (w *world) counts() harness.Counts {
	w.Helper()
	c, err := w.fleet.Counts()
	w.must(err)
	return c
}

func spread(d *appsv1.Deployment) {
	d.Spec.Template.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{
		RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			LabelSelector: d.Spec.Selector, TopologyKey: "kubernetes.io/hostname",
		}},
	}}
}

func TestAKilledControllerGoesOnWhereItWas(t *testing.T) {
	const bases = 10
	w := newWorld(t).withBroker().withFleet(bases).withController()
	w.nodesReady(bases)
	w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), bases, spread)
	w.podsReady("app=stock", bases)
	ready := readySince(w.pods("app=stock"))
	stop := w.watchNodes()
	w.must(w.controller.Kill())
	// One base loses its heartbeat for good meanwhile: it is found by its Node.
	w.must(w.fleet.Do("base-0003", "stop-heartbeat"))
	w.must(w.controller.Start(t.Context()))
	w.pod("new", "base-0003", "orders", "1.0.0", jar("orders", "1.0.0"))
	w.ready("new")
	// Two readings of every list have gone by when each base was asked again.
	w.eventually(patience, func() error {
		n, err := w.controller.Metric("module_controller_command_seconds_count", `verb="list"`)
		if err == nil && n < 3*bases {
			err = fmt.Errorf("%v lists were read", n)
		}
		return err
	})
	if c := w.counts(); c.Installs != bases+1 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases+1)
	}
	if bad := stop(); len(bad) > 0 {
		t.Errorf("nodes turned not ready: %v", bad)
	}
	w.stillReady(ready, "app=stock")
}

// stillReady checks that the same pods are Ready since the same moments.
func (w *world) stillReady(ready map[string]string, selector string) {
	w.Helper()
	if now := readySince(w.pods(selector)); !maps.Equal(now, ready) {
		w.Errorf("ready since %v, was %v", now, ready)
	}
}

// nodeShows waits until the Ready condition of a base's Node has a reason.
func (w *world) nodeShows(identity, reason string) {
	w.Helper()
	w.eventually(patience, func() error {
		for _, n := range w.nodes() {
			for _, c := range n.Status.Conditions {
				if n.Name == w.nodeOf(identity) && c.Type == corev1.NodeReady && c.Reason == reason {
					return nil
				}
			}
		}
		return fmt.Errorf("the node of %s does not show %s", identity, reason)
	})
}

func readySince(pods []corev1.Pod) map[string]string {
	since := map[string]string{}
	for _, p := range pods {
		for _, c := range p.Status.Conditions {
			if c.Type == corev1.PodReady {
				since[string(p.UID)] = string(c.Status) + c.LastTransitionTime.String()
			}
		}
	}
	return since
}

func TestABrokerRestartedHurtsNobody(t *testing.T) {
	onEachBroker(t, func(t *testing.T, broker string) {
		const bases = 10
		w := newWorld(t).withBrokerOf(broker).withFleet(bases).withController()
		w.nodesReady(bases)
		stop := w.watchNodes()
		w.must(w.broker.Signal(syscall.SIGKILL))
		<-w.broker.Done()
		if _, err := w.controller.Health("/livez"); err != nil {
			t.Errorf("not live without a broker: %v", err)
		}
		w.eventually(patience, func() error {
			up, err := w.controller.Metric("module_controller_link_up")
			if err == nil && up != 0 {
				err = fmt.Errorf("the link is up")
			}
			return err
		})
		w.startBroker()
		// Every heartbeat died for good with the outage: the bases are polled.
		w.pod("after", "base-0007", "stock", "1.0.0", jar("stock", "1.0.0"))
		w.ready("after")
		if bad := stop(); len(bad) > 0 {
			t.Errorf("nodes turned not ready: %v", bad)
		}
		if _, err := w.controller.Health("/readyz"); err != nil {
			t.Errorf("not ready: %v", err)
		}
	})
}

func TestABaseThatIsSilentTurnsNotReadyAndIsGone(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(2).withController("STALE_AFTER=4s", "GONE_AFTER=8s", "LIST_INTERVAL=1s")
	w.nodesReady(2)
	w.pod("one", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("one")
	w.must(w.fleet.Do("base-0001", "silence"))
	w.nodeShows("base-0001", "BaseSilent")
	w.eventually(patience, func() error {
		if n := len(w.nodes()); n != 1 {
			return fmt.Errorf("%d nodes, want the silent one gone", n)
		}
		return nil
	})
	w.must(w.fleet.Do("base-0001", "resume"))
	w.nodesReady(2)
}

func TestAnswersThatMislead(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(3).withController("BACKOFF_FIRST=1s", "ANSWER_TIMEOUT=4s", "LIST_INTERVAL=1s")
	w.nodesReady(3)
	w.must(w.fleet.Do("base-0001", "lose-answers?n=1"))
	w.must(w.fleet.Do("base-0002", "fail-installs?n=2"))
	w.must(w.fleet.Do("base-0003", "without-effect?n=1"))
	for n := 1; n <= 3; n++ {
		w.pod(fmt.Sprintf("p%d", n), fmt.Sprintf("base-%04d", n), "stock", "1.0.0", jar("stock", "1.0.0"))
	}
	w.ready("p1")
	w.ready("p2")
	w.ready("p3") // it said success once, and listed nothing
	if c := w.counts(); c.Installs != 3 || c.Uninstalls != 0 {
		t.Errorf("%d installs and %d uninstalls, want 3 and none", c.Installs, c.Uninstalls)
	}
}

func TestRollingUpdateOverHTTPHasNoGap(t *testing.T) {
	w := newWorld(t).withHTTP().withController().withHTTPFleet(1, "--install-time", "200ms")
	w.nodesReady(1)
	w.deployment("orders", "1.0.0", jar("orders", "1.0.0"), 1, func(d *appsv1.Deployment) { d.Spec.Strategy = surge() })
	w.podsReady("app=orders", 1)
	w.setVersion("orders", "2.0.0", jar("orders", "2.0.0"))
	w.eventually(patience, func() error { return w.onlyVersion("orders", "2.0.0") })
	w.serves("base-0001", "orders:2.0.0")
	b, err := w.fleet.Base("base-0001")
	w.must(err)
	for i, s := range b.Serving {
		if len(s.Modules) == 0 && i > 0 {
			t.Errorf("nothing served at %s: %v", s.At.Format(time.StampMilli), b.Serving)
		}
	}
}

// liveFor lets time go by in which every replica stays live.
func (w *world) liveFor(d time.Duration) {
	w.Helper()
	over := time.Now().Add(d)
	w.eventually(d+patience, func() error {
		for _, c := range w.replicas {
			if _, err := c.Health("/livez"); err != nil {
				return harness.Final(err)
			}
		}
		if left := time.Until(over); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
}

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
	w.eventually(patience, func() error {
		_, err := client.CoreV1().Nodes().List(t.Context(), metav1.ListOptions{Limit: 1})
		return err
	})
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

// Leases that were deleted or edited by hand are put right, and the modules never
// notice.
func TestALeaseChangedByHandIsPutRight(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController("LEASE_RENEW_INTERVAL=1s", "LEASE_DURATION=2s")
	w.nodesReady(1)
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("stock")
	leases := client.CoordinationV1().Leases("kube-node-lease")
	name := w.nodeOf("base-0001")
	lease, err := leases.Get(t.Context(), name, metav1.GetOptions{})
	w.must(err)
	holder, epoch := *lease.Spec.HolderIdentity, *lease.Spec.LeaseTransitions

	w.must(leases.Delete(t.Context(), name, metav1.DeleteOptions{}))
	w.eventually(patience, func() error {
		again, err := leases.Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && (again.UID == lease.UID || *again.Spec.HolderIdentity != holder) {
			err = fmt.Errorf("lease %+v", again.Spec)
		}
		return err
	})

	// Another controller takes it and falls silent: it is served again after the
	// Lease stayed unchanged for its duration and a grace.
	w.eventually(patience, func() error {
		lease, err := leases.Get(t.Context(), name, metav1.GetOptions{})
		if err != nil {
			return err
		}
		other := "another-controller"
		lease.Spec.HolderIdentity = &other
		_, err = leases.Update(t.Context(), lease, metav1.UpdateOptions{})
		return err
	})
	w.eventually(patience, func() error {
		lease, err := leases.Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && (*lease.Spec.HolderIdentity != holder || *lease.Spec.LeaseTransitions <= epoch) {
			err = fmt.Errorf("lease %+v", lease.Spec)
		}
		return err
	})
	w.pod("after", "base-0001", "orders", "1.0.0", jar("orders", "1.0.0"))
	w.ready("after")
	if c := w.counts(); c.Installs != 2 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want 2 and none", c.Installs, c.Uninstalls)
	}
}

// A base that is heard and never answers turns NotReady, and the others work.
func TestADeadHTTPBaseHurtsNoOther(t *testing.T) {
	const bases = 20
	w := newWorld(t).withHTTP().withController("STALE_AFTER=12s", "ANSWER_AFTER=3s", "LIST_INTERVAL=1s").withHTTPFleet(bases)
	w.nodesReady(bases)
	w.must(w.fleet.Do("base-0001", "mute"))
	w.nodeShows("base-0001", "BaseNotAnswering")
	w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), bases-1, spread)
	w.podsReady("app=stock", bases-1)
	w.must(w.fleet.Do("base-0001", "resume"))
	w.nodesReady(bases)
}
