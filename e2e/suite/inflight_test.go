package suite

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// How long the modules take to start whose bases get another owner meanwhile, longer than
// the slowest takeover; on how many bases; and how many are started on each at a time
// (COMMANDS_PER_BASE).
const (
	slowStart = 15 * time.Second
	slowBases = 6
	slowEach  = 3
)

// slowFleet starts replicas and bases over MQTT on which every module starts slowly.
func slowFleet(t *testing.T, replicas int) *world.World {
	t.Helper()
	w := cluster.New(t).WithBroker().WithFleet(slowBases, "--install-time", slowStart.String())
	return w.WithReplicas(replicas, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
}

func slowBase(n int) string { return world.BaseID(n + 1) }

// slowPods begins to record, and has so many modules installed on each base: it returns
// when every base is starting as many as it may. What has to wait starts quickly.
func slowPods(w *world.World, each int) *world.World {
	w.Helper()
	w.AwaitNodesReady(slowBases)
	w.Recorder = w.Record()
	for n := range slowBases * each {
		name := fmt.Sprintf("slow%d", n)
		if n >= slowBases*slowEach {
			w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar(name, "1.0.0"), "name": name, "version": "1.0.0", "start": time.Millisecond}))
		}
		w.CreatePod(name, slowBase(n%slowBases), name, "1.0.0", world.Jar(name, "1.0.0"))
	}
	w.Eventually(world.Timeout, func() error { return areStarting(w) })
	return w
}

// areStarting says whether every base is starting as many modules as it may.
func areStarting(w *world.World) error {
	for n := range slowBases {
		b, err := w.Fleet.Base(slowBase(n))
		if err != nil {
			return err
		}
		starting := 0
		for _, m := range b.Modules {
			if m.State == "resolved" {
				starting++
			}
		}
		if starting < slowEach {
			return fmt.Errorf("%s is starting %d modules, want %d: %v", b.Identity, starting, slowEach, b.Modules)
		}
	}
	return nil
}

// checkSlowPods checks that all came out as if nothing had happened: the pods are Ready, and
// each module was asked for once, installed once and never uninstalled.
func checkSlowPods(w *world.World, each int) {
	w.Helper()
	for n := range slowBases * each {
		w.AwaitReady(fmt.Sprintf("slow%d", n))
	}
	w.AwaitListed()
	w.Log(w.Recorder.KeptRules())
	for n := range slowBases {
		b, err := w.Fleet.Base(slowBase(n))
		w.Must(err)
		checkAskedOnce(w, b)
		for m := n; m < slowBases*each; m += slowBases {
			if module := fmt.Sprintf("slow%d:1.0.0", m); b.Installs[module] != 1 {
				w.Errorf("%s was installed %d times on %s", module, b.Installs[module], b.Identity)
			}
		}
		if len(b.Uninstalls) > 0 || len(b.Commands) != each {
			w.Errorf("%s got %d commands, want %d, and uninstalled %v", b.Identity, len(b.Commands), each, b.Uninstalls)
		}
	}
}

// checkAskedOnce checks that a base got no command twice, and never had more in progress
// than it may.
func checkAskedOnce(w *world.World, b harness.SimBase) {
	w.Helper()
	asked := map[string]int{}
	for i, c := range b.Commands {
		if asked[c.Command+" "+c.Module]++; asked[c.Command+" "+c.Module] == 2 {
			w.Errorf("%s got %s %s again at %s (%s)", b.Identity, c.Command, c.Module, c.At.Format(time.StampMilli), c.Request)
		}
		starting := 0
		for _, before := range b.Commands[:i+1] {
			if before.Command == "installBiz" && !servedBy(b, before.Module, c.At) {
				starting++
			}
		}
		if starting > slowEach {
			w.Errorf("%s was starting %d modules at %s, when it got %s %s (%s)", b.Identity, starting, c.At.Format(time.StampMilli), c.Command, c.Module, c.Request)
		}
	}
}

// servedBy says whether a module served at a moment or before.
func servedBy(b harness.SimBase, module string, at time.Time) bool {
	for _, s := range b.Serving {
		if !s.At.After(at) && slices.Contains(s.Modules, module) {
			return true
		}
	}
	return false
}

// killSlowOwner kills a replica while what it asked for is in progress.
func killSlowOwner(w *world.World) {
	w.Helper()
	victim := w.Incarnation(0)
	w.Recorder.Fault("kill", victim)()
	w.Must(w.Replicas[0].Kill())
	w.AwaitOwned(12*time.Second, slowBases, victim)
	w.Must(areStarting(w))
}

// The next owner of a base finds what the one before began, begins none of it again, and
// has what comes next wait for it.
func TestInstallsInProgressSurviveAKill(t *testing.T) {
	t.Parallel()
	const each = slowEach + 1
	w := slowPods(slowFleet(t, 2), each)
	killSlowOwner(w)
	checkSlowPods(w, each)
}

// The same over HTTP.
func TestInstallsInProgressSurviveAKillOverHTTP(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithService().WithReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s").WithHTTPFleet(slowBases, "--install-time", slowStart.String())
	killSlowOwner(slowPods(w, slowEach))
	checkSlowPods(w, slowEach)
}

// A replica that drains transfers its bases although they have not answered.
func TestInstallsInProgressSurviveADrain(t *testing.T) {
	t.Parallel()
	w := slowPods(slowFleet(t, 2), slowEach)
	victim := w.Incarnation(0)
	ended := w.Recorder.Fault("stop", "")
	w.Stop(0)
	ended()
	w.AwaitOwned(time.Second, slowBases, victim)
	w.Must(areStarting(w))
	checkSlowPods(w, slowEach)
}

// A base that is assigned to another because there is one replica more stays until it has
// answered: there is no hurry.
func TestABusyBaseMovesOnceDrained(t *testing.T) {
	t.Parallel()
	w := slowPods(slowFleet(t, 1), slowEach)
	ended := w.Recorder.Fault("scale", "")
	w.WithReplicas(1, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	w.Must(areStarting(w))
	w.Eventually(world.Timeout, func() error {
		if n := w.Shares()["module-controller-1"]; n != slowBases/2 {
			return fmt.Errorf("the new replica owns %d bases, want %d", n, slowBases/2)
		}
		return nil
	})
	ended()
	checkSlowPods(w, slowEach)
	for n := range slowBases {
		b, err := w.Fleet.Base(slowBase(n))
		w.Must(err)
		answered := b.Serving[len(b.Serving)-1].At // all its modules serve from then on
		for _, claim := range w.Recorder.Claims() {
			if claim.Base == b.Identity && strings.HasPrefix(claim.Holder, "module-controller-1_") && claim.At.Before(answered) {
				t.Errorf("%s was transferred at %s, and had answered at %s", b.Identity, claim.At, answered)
			}
		}
	}
}

// A module that is to go while it is starting goes once it has started, whoever owns
// the base then; it is not asked to before.
func TestADeletionWaitsForAnInstallInProgress(t *testing.T) {
	t.Parallel()
	w := slowPods(slowFleet(t, 2), slowEach)
	for n := range slowBases * slowEach {
		w.DeletePod(fmt.Sprintf("slow%d", n))
	}
	killSlowOwner(w)
	for n := range slowBases * slowEach {
		w.AwaitGone(fmt.Sprintf("slow%d", n), world.Timeout)
	}
	if c := w.Counts(); c.Installs != slowBases*slowEach || c.Uninstalls != c.Installs {
		t.Errorf("installs %d, uninstalls %d; want %d of each", c.Installs, c.Uninstalls, slowBases*slowEach)
	}
	for n := range slowBases {
		b, err := w.Fleet.Base(slowBase(n))
		w.Must(err)
		checkAskedOnce(w, b)
	}
}

// A pod whose deletion began with one owner is ended by the next: it stays until its
// module is gone, however long its base does not answer.
func TestADeletionSurvivesItsOwner(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(2).WithReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	w.AwaitNodesReady(2)
	soon := func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(1)) }
	w.CreatePod("runs", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"), soon)
	w.AwaitReady("runs")
	w.AwaitPlaced() // a base that answers nothing is not moved
	w.Must(w.Fleet.Do("base-0001", "silence"))
	w.CreatePod("waits", "base-0001", "orders", "1.0.0", world.Jar("orders", "1.0.0"), soon)
	w.DeletePod("runs")
	w.DeletePod("waits")
	victim := w.Owners()[w.NodeName("base-0001")].Holder
	w.Must(w.ReplicaOf(victim).Kill())
	w.AwaitOwned(12*time.Second, 2, victim)
	podsStay(w, 5*time.Second, "runs", "waits")
	w.Must(w.Fleet.Do("base-0001", "resume"))
	w.AwaitGone("runs", world.Timeout)
	w.AwaitGone("waits", world.Timeout)
	w.AwaitServing("base-0001")
	if c := w.Counts(); c.Uninstalls != c.Installs {
		t.Errorf("%d installs and %d uninstalls", c.Installs, c.Uninstalls)
	}
}

// podsStay checks that pods are there for a while.
func podsStay(w *world.World, d time.Duration, names ...string) {
	w.Helper()
	watcher, err := cluster.Client.CoreV1().Pods(w.Env).Watch(w.Context(), metav1.ListOptions{})
	w.Must(err)
	defer watcher.Stop()
	over := time.NewTimer(d)
	defer over.Stop()
	for {
		select {
		case e, open := <-watcher.ResultChan():
			if !open {
				w.Fatal("the watch of pods ended")
			}
			if p, ok := e.Object.(*corev1.Pod); ok && e.Type == watch.Deleted && slices.Contains(names, p.Name) {
				w.Fatalf("pod %s went", p.Name)
			}
		case <-over.C:
			for _, name := range names {
				_, err := w.GetPod(name)
				w.Must(err)
			}
			return
		}
	}
}
