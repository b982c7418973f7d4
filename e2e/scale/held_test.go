//go:build scale

package scale

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

const (
	// comingUp is how long all Nodes may take to become Ready.
	comingUp = 20 * time.Minute
	// afterKill is how long it is watched after a kill: longer than a Node may be silent.
	afterKill = 90 * time.Second
)

// TestScaleHeld has two replicas serve as many bases as they can, on a control plane of their
// own: all Nodes become Ready, none loses that while time goes by, and none when one replica
// is killed. Meanwhile pods come and go, SCALE_PODS (20) a second. It tells each minute what
// the machine does.
func TestScaleHeld(t *testing.T) {
	bases, long, rate := scaleOf(t, 10_000), lasting(t, 10*time.Minute), podsASecond(t, 20)
	c := world.StartCluster(t)
	w := c.New(t).WithBrokerOf(broker()).WithReplicas(2, "LOG_LEVEL=info")
	nodes, pods := w.SeeNodes(""), w.SeePods("")
	began := time.Now()
	w.WithFleet(bases, "--heartbeat", "10s") // as often as real bases do
	t.Logf("%d Nodes were Ready after %s", bases, nodes.AwaitReady(comingUp, bases).Sub(began).Round(time.Second))

	load := w.ComeAndGo(pods, bases, rate)
	held := time.Now()
	for until := held.Add(long); time.Now().Before(until); {
		tellMinute(w, c, nodes, load, min(time.Minute, time.Until(until)))
	}
	killed := time.Now()
	lost := reportLost(t, nodes, 0, fmt.Sprintf("in %s", long))

	w.Must(w.Replicas[1].Kill())
	w.Eventually(world.Timeout, func() error {
		n, err := w.Replicas[0].Metric("module_controller_bases_owned")
		if err == nil && int(n) != bases {
			err = fmt.Errorf("%v bases are owned, want %d", n, bases)
		}
		return err
	})
	t.Logf("all owned by the other replica %s after kill -9", time.Since(killed).Round(100*time.Millisecond))
	tellMinute(w, c, nodes, load, afterKill)
	reportLost(t, nodes, lost, "after the kill")
	made := load.Stop()
	t.Logf("held for %s: %s; goal p99 3s", long, load.Between(held, killed))
	t.Logf("since the kill: %s", load.Between(killed, time.Now()))
	checkOnceEach(w, made)
	w.Must(w.Replicas[0].Kill()) // else it gives up each Lease first, in order
}

// checkOnceEach checks that so many modules were installed and uninstalled, each once.
func checkOnceEach(w *world.World, modules int) {
	w.Helper()
	if c := w.Counts(); c.Installs != modules || c.Uninstalls != modules {
		w.Errorf("installs %d, uninstalls %d; want %d of each", c.Installs, c.Uninstalls, modules)
	}
}

// reportLost fails the test where Nodes lost their readiness since so many had, and gives how
// many have by now.
func reportLost(t *testing.T, nodes *world.Sightings, before int, when string) int {
	t.Helper()
	lost := nodes.Lost()
	if more := lost[before:]; len(more) > 0 {
		t.Errorf("Nodes were seen not to be Ready %d times %s: %s", len(more), when, strings.Join(more[:min(len(more), 10)], ", "))
	}
	return len(lost)
}

// tellMinute lets a time go by, and tells what happened in it.
func tellMinute(w *world.World, c *world.Cluster, nodes *world.Sightings, load *world.Rated, long time.Duration) {
	w.Helper()
	began, before := time.Now(), processes(w, c)
	<-time.After(long)
	w.Logf("lost Ready %d; %s; %s", len(nodes.Lost()), load.Between(began, time.Now()), machine(before, processes(w, c), time.Since(began)))
	for i, r := range w.Replicas {
		if r.Ended() {
			continue
		}
		age, ofAge := r.Metric("module_controller_oldest_lease_seconds")
		owned, ofOwned := r.Metric("module_controller_bases_owned")
		if err := errors.Join(ofAge, ofOwned); err != nil { // it may be too busy to tell
			w.Logf("replica %d: %v", i, err)
			continue
		}
		w.Logf("replica %d: %.0f bases, oldest Lease %.1f s", i, owned, age)
	}
}

// processes gives what each process uses that has a part in a World.
func processes(w *world.World, c *world.Cluster) map[string]harness.Usage {
	w.Helper()
	pids := map[string]int{"broker": w.Broker.PID(), "bases": w.Fleet.PID(), "test": os.Getpid()}
	for _, component := range []controlplane.Component{controlplane.Etcd, controlplane.APIServer, controlplane.ControllerManager, controlplane.Scheduler} {
		pids[string(component)] = c.Plane.PID(component)
	}
	for i, r := range w.Replicas {
		if !r.Ended() {
			pids[fmt.Sprintf("replica %d", i)] = r.PID()
		}
	}
	of := map[string]harness.Usage{}
	for name, pid := range pids {
		u, err := harness.UsageOf(pid)
		w.Must(err)
		of[name] = u
	}
	return of
}

// machine tells what each process did in a time, in percent of a core, and its memory.
func machine(before, now map[string]harness.Usage, long time.Duration) string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(now)) {
		cpu := now[name].CPU - before[name].CPU
		all = append(all, fmt.Sprintf("%s %.0f %% %.0f MB", name, 100*cpu.Seconds()/long.Seconds(), float64(now[name].Resident)/1e6))
	}
	return strings.Join(all, ", ")
}
