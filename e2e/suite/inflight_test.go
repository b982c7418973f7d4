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
)

// How long the modules take to start whose bases change hands meanwhile, longer than the
// slowest takeover; on how many bases; and how many are started on each at a time
// (COMMANDS_PER_BASE).
const (
	slowStart = 15 * time.Second
	slowBases = 6
	slowEach  = 3
)

// slowFleet starts replicas and bases over MQTT on which every module starts slowly.
func slowFleet(t *testing.T, replicas int) *world {
	t.Helper()
	w := newWorld(t).withBroker().withFleet(slowBases, "--install-time", slowStart.String())
	return w.withReplicas(replicas, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
}

func slowBase(n int) string { return fmt.Sprintf("base-%04d", n+1) }

// slowPods begins to record, and has so many modules installed on each base: it returns
// when every base is starting as many as it may. What has to wait starts quickly.
func (w *world) slowPods(each int) *world {
	w.Helper()
	w.nodesReady(slowBases)
	w.recorded = w.record()
	for n := range slowBases * each {
		name := fmt.Sprintf("slow%d", n)
		if n >= slowBases*slowEach {
			w.must(w.fleet.Post("/jars", map[string]any{"url": jar(name, "1.0.0"), "name": name, "version": "1.0.0", "start": time.Millisecond}))
		}
		w.pod(name, slowBase(n%slowBases), name, "1.0.0", jar(name, "1.0.0"))
	}
	w.eventually(patience, w.areStarting)
	return w
}

// areStarting says whether every base is starting as many modules as it may.
func (w *world) areStarting() error {
	for n := range slowBases {
		b, err := w.fleet.Base(slowBase(n))
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

// slowOnes checks that all came out as if nothing had happened: the pods are Ready, and
// each module was asked for once, installed once and never uninstalled.
func (w *world) slowOnes(each int) {
	w.Helper()
	for n := range slowBases * each {
		w.ready(fmt.Sprintf("slow%d", n))
	}
	w.eachListed()
	w.Log(summary(w.recorded.keptRules()))
	for n := range slowBases {
		b, err := w.fleet.Base(slowBase(n))
		w.must(err)
		w.askedOnce(b)
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

// askedOnce checks that a base got no command twice, and never had more under way than
// it may.
func (w *world) askedOnce(b harness.SimBase) {
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

// killSlowOwner kills a replica while what it asked for is under way.
func (w *world) killSlowOwner() {
	w.Helper()
	victim := w.incarnation(0)
	w.recorded.fault("kill", victim)()
	w.must(w.replicas[0].Kill())
	w.ownedBy(12*time.Second, slowBases, victim)
	w.must(w.areStarting())
}

// Whoever takes a base over finds what its owner before began, begins nothing of it
// anew, and has what comes next wait for it.
func TestInstallsUnderWayOutliveAKill(t *testing.T) {
	const each = slowEach + 1
	w := slowFleet(t, 2).slowPods(each)
	w.killSlowOwner()
	w.slowOnes(each)
}

// The same over HTTP.
func TestInstallsUnderWayOutliveAKillOverHTTP(t *testing.T) {
	w := newWorld(t).withService().withReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s").withHTTPFleet(slowBases, "--install-time", slowStart.String())
	w.slowPods(slowEach).killSlowOwner()
	w.slowOnes(slowEach)
}

// A replica that is told to end gives its bases away although they have not answered.
func TestInstallsUnderWayOutliveADrain(t *testing.T) {
	w := slowFleet(t, 2).slowPods(slowEach)
	victim := w.incarnation(0)
	ended := w.recorded.fault("stop", "")
	w.must(w.replicas[0].Stop(40 * time.Second))
	ended()
	w.ownedBy(time.Second, slowBases, victim)
	w.must(w.areStarting())
	w.slowOnes(slowEach)
}

// A base that should be another's because there is one replica more stays until it has
// answered: there is no hurry.
func TestABaseMovesWhenItHasAnswered(t *testing.T) {
	w := slowFleet(t, 1).slowPods(slowEach)
	ended := w.recorded.fault("scale", "")
	w.withReplicas(1, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	w.must(w.areStarting())
	w.eventually(patience, func() error {
		if n := w.shares()["module-controller-1"]; n != slowBases/2 {
			return fmt.Errorf("the new replica owns %d bases, want %d", n, slowBases/2)
		}
		return nil
	})
	ended()
	w.slowOnes(slowEach)
	for n := range slowBases {
		b, err := w.fleet.Base(slowBase(n))
		w.must(err)
		answered := b.Serving[len(b.Serving)-1].At // all its modules serve from then on
		for _, claim := range w.recorded.h.Claims {
			if claim.Base == b.Identity && strings.HasPrefix(claim.Holder, "module-controller-1_") && claim.At.Before(answered) {
				t.Errorf("%s was given away at %s, and had answered at %s", b.Identity, claim.At, answered)
			}
		}
	}
}

// A module that is to go while it is starting goes once it has started, whoever owns
// the base then; it is not asked to before.
func TestADeletionWaitsForAnInstallUnderWay(t *testing.T) {
	w := slowFleet(t, 2).slowPods(slowEach)
	for n := range slowBases * slowEach {
		w.deletePod(fmt.Sprintf("slow%d", n))
	}
	w.killSlowOwner()
	for n := range slowBases * slowEach {
		w.gone(fmt.Sprintf("slow%d", n), patience)
	}
	if c := w.counts(); c.Installs != slowBases*slowEach || c.Uninstalls != c.Installs {
		t.Errorf("installs %d, uninstalls %d; want %d of each", c.Installs, c.Uninstalls, slowBases*slowEach)
	}
	for n := range slowBases {
		b, err := w.fleet.Base(slowBase(n))
		w.must(err)
		w.askedOnce(b)
	}
}

// A pod whose deletion began with one owner is ended by the next: it stays until its
// module is gone, however long its base does not answer.
func TestADeletionOutlivesItsOwner(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(2).withReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	w.nodesReady(2)
	soon := func(p *corev1.Pod) { p.Spec.TerminationGracePeriodSeconds = new(int64(1)) }
	w.pod("runs", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"), soon)
	w.ready("runs")
	w.settled() // a base that answers nothing is not moved
	w.must(w.fleet.Do("base-0001", "silence"))
	w.pod("waits", "base-0001", "orders", "1.0.0", jar("orders", "1.0.0"), soon)
	w.deletePod("runs")
	w.deletePod("waits")
	victim := w.owners()[w.nodeOf("base-0001")].holder
	w.must(w.replicaOf(victim).Kill())
	w.ownedBy(12*time.Second, 2, victim)
	w.stay(5*time.Second, "runs", "waits")
	w.must(w.fleet.Do("base-0001", "resume"))
	w.gone("runs", patience)
	w.gone("waits", patience)
	w.serves("base-0001")
	if c := w.counts(); c.Uninstalls != c.Installs {
		t.Errorf("%d installs and %d uninstalls", c.Installs, c.Uninstalls)
	}
}

// replicaOf gives the replica that is an incarnation now.
func (w *world) replicaOf(incarnation string) *harness.Controller {
	w.Helper()
	for i, r := range w.replicas {
		if w.incarnation(i) == incarnation {
			return r
		}
	}
	w.Fatalf("no replica is %s", incarnation)
	return nil
}

// stay watches that pods are there for a while.
func (w *world) stay(d time.Duration, names ...string) {
	w.Helper()
	watcher, err := client.CoreV1().Pods(w.env).Watch(w.Context(), metav1.ListOptions{})
	w.must(err)
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
				_, err := w.get(name)
				w.must(err)
			}
			return
		}
	}
}
