package suite

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

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
		n, err := w.controller.Metric("module_controller_command_duration_seconds_count", `verb="list"`)
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
			up, err := w.controller.Metric("module_controller_tunnel_up")
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

// Whatever becomes of an answer, the base's list decides: each module is asked for, and
// takes effect, as often as it must and not once more.
func TestAnswersThatMislead(t *testing.T) {
	settings := []string{"BACKOFF_FIRST=1s", "ANSWER_TIMEOUT=4s", "LIST_INTERVAL=1s"}
	both := map[string]int{"lose-answers?n=1": 1, "fail-installs?n=2": 3, "without-effect?n=1": 2, "error-with-effect?n=1": 1}
	t.Run("MQTT", func(t *testing.T) {
		faults := map[string]int{"duplicate?n=50": 1, "late?d=2s": 1, "reorder?n=1": 1}
		maps.Copy(faults, both)
		misled(newWorld(t).withBroker().withFleet(len(faults)).withController(settings...), faults)
	})
	t.Run("HTTP", func(t *testing.T) {
		misled(newWorld(t).withHTTP().withController(settings...).withHTTPFleet(len(both)), both)
	})
}

// misled has a fault happen to each base before a pod comes, and again before it goes;
// the number is how many installs it takes until the module serves.
func misled(w *world, faults map[string]int) {
	w.Helper()
	w.nodesReady(len(faults))
	names := slices.Sorted(maps.Keys(faults))
	base := func(i int) string { return fmt.Sprintf("base-%04d", i+1) }
	for i, fault := range names {
		w.must(w.fleet.Do(base(i), fault))
		w.pod(fmt.Sprintf("p%d", i), base(i), "stock", "1.0.0", jar("stock", "1.0.0"))
	}
	for i := range names {
		w.ready(fmt.Sprintf("p%d", i))
	}
	for i, fault := range names {
		w.must(w.fleet.Do(base(i), fault))
		w.deletePod(fmt.Sprintf("p%d", i))
	}
	for i, fault := range names {
		w.gone(fmt.Sprintf("p%d", i), patience)
		b, err := w.fleet.Base(base(i))
		w.must(err)
		asked := map[string]int{}
		for _, c := range b.Commands {
			asked[c.Command]++
		}
		want := map[string]int{"installBiz": faults[fault], "uninstallBiz": 1}
		if b.Installs["stock:1.0.0"] != 1 || b.Uninstalls["stock:1.0.0"] != 1 || !maps.Equal(asked, want) {
			w.Errorf("%s: installed %d times and uninstalled %d times, want once each; asked for %v, want %v",
				fault, b.Installs["stock:1.0.0"], b.Uninstalls["stock:1.0.0"], asked, want)
		}
	}
}

// Lists that come an hour late, whenever that is, say nothing of what is: the pod stays
// as it is, and nothing is installed again.
func TestAListThatIsLongOver(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController("LIST_INTERVAL=1s")
	w.nodesReady(1)
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("stock")
	ready := readySince(w.pods("app=stock"))
	w.eachListed()
	old := fmt.Appendf(nil, `{"publishTimestamp":%d,"data":[]}`, time.Now().Add(-time.Hour).UnixMilli())
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		w.must(w.fleet.Post("/bases/base-0001/say?where=base/simpleBiz", old))
		<-tick.C
	}
	w.eachListed()
	w.stillReady(ready, "app=stock")
	b, err := w.fleet.Base("base-0001")
	w.must(err)
	w.askedOnce(b)
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

// answers waits until the API server does.
func (w *world) answers() {
	w.Helper()
	w.eventually(patience, func() error {
		_, err := client.CoreV1().Namespaces().Get(w.Context(), w.env, metav1.GetOptions{})
		return err
	})
}
