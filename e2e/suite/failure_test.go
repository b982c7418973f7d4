package suite

import (
	"fmt"
	"maps"
	"slices"
	"syscall"
	"testing"
	"time"

	"module-controller/e2e/world"
)

func TestAKilledControllerGoesOnAfterARestart(t *testing.T) {
	t.Parallel()
	const bases = 10
	w := cluster.New(t).WithBroker().WithFleet(bases).WithController()
	w.AwaitNodesReady(bases)
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), bases, world.Spread)
	w.AwaitPodsReady("app=stock", bases)
	ready := world.ReadySince(w.Pods("app=stock"))
	stop := w.WatchNodes()
	w.Must(w.Replicas[0].Kill())
	// One base loses its heartbeat for good meanwhile: it is found by its Node.
	w.Must(w.Fleet.Do("base-0003", "stop-heartbeat"))
	w.Must(w.Replicas[0].Start(t.Context()))
	w.CreatePod("new", "base-0003", "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitReady("new")
	// Two readings of every list have gone by when each base was asked again, for its list or
	// its health, so often.
	w.Eventually(world.Timeout, func() error {
		n, err := w.Replicas[0].Metric("module_controller_command_duration_seconds_count", `kind="question"`)
		if err == nil && n < 6*bases {
			err = fmt.Errorf("%v questions were asked", n)
		}
		return err
	})
	if c := w.Counts(); c.Installs != bases+1 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases+1)
	}
	if bad := stop(); len(bad) > 0 {
		t.Errorf("nodes turned not ready: %v", bad)
	}
	w.CheckReadySince(ready, "app=stock")
}

func TestABrokerRestartDisturbsNothing(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, broker string) {
		const bases = 10
		w := cluster.New(t).WithBrokerOf(broker).WithFleet(bases).WithController()
		w.AwaitNodesReady(bases)
		stop := w.WatchNodes()
		w.Must(w.Broker.Signal(syscall.SIGKILL))
		<-w.Broker.Done()
		if _, err := w.Replicas[0].Health("/livez"); err != nil {
			t.Errorf("not live without a broker: %v", err)
		}
		w.Eventually(world.Timeout, func() error {
			up, err := w.Replicas[0].Metric("module_controller_tunnel_up")
			if err == nil && up != 0 {
				err = fmt.Errorf("the tunnel is up")
			}
			return err
		})
		w.StartBroker()
		// Every heartbeat died for good with the outage: the bases are polled.
		w.CreatePod("after", "base-0007", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
		w.AwaitReady("after")
		if bad := stop(); len(bad) > 0 {
			t.Errorf("nodes turned not ready: %v", bad)
		}
		if _, err := w.Replicas[0].Health("/readyz"); err != nil {
			t.Errorf("not ready: %v", err)
		}
	})
}

func TestASilentBaseTurnsNotReadyAndIsGone(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(2).WithController("STALE_AFTER=4s", "GONE_AFTER=8s", "LIST_INTERVAL=1s")
	w.AwaitNodesReady(2)
	w.CreatePod("one", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("one")
	w.Must(w.Fleet.Do("base-0001", "silence"))
	w.AwaitNodeReason("base-0001", "BaseSilent")
	w.Eventually(world.Timeout, func() error {
		if n := len(w.Nodes()); n != 1 {
			return fmt.Errorf("%d nodes, want the silent one gone", n)
		}
		return nil
	})
	w.Must(w.Fleet.Do("base-0001", "resume"))
	w.AwaitNodesReady(2)
}

// Whatever becomes of an answer, the base's list decides: each module is asked for, and
// takes effect, as often as it must and not once more.
func TestMisleadingAnswers(t *testing.T) {
	t.Parallel()
	settings := []string{"BACKOFF_BASE=1s", "COMMAND_TIMEOUT=4s", "LIST_INTERVAL=1s"}
	both := map[string]int{"lose-answers?n=1": 1, "fail-installs?n=2": 3, "without-effect?n=1": 2, "error-with-effect?n=1": 1}
	t.Run("MQTT", func(t *testing.T) {
		t.Parallel()
		faults := map[string]int{"duplicate?n=50": 1, "late?d=2s": 1, "reorder?n=1": 1}
		maps.Copy(faults, both)
		mislead(cluster.New(t).WithBroker().WithFleet(len(faults)).WithController(settings...), faults)
	})
	t.Run("HTTP", func(t *testing.T) {
		t.Parallel()
		mislead(cluster.New(t).WithHTTP().WithController(settings...).WithHTTPFleet(len(both)), both)
	})
}

// mislead has a fault happen to each base before a pod comes, and again before it goes;
// the number is how many installs it takes until the module serves.
func mislead(w *world.World, faults map[string]int) {
	w.Helper()
	w.AwaitNodesReady(len(faults))
	names := slices.Sorted(maps.Keys(faults))
	base := func(i int) string { return world.BaseID(i + 1) }
	for i, fault := range names {
		w.Must(w.Fleet.Do(base(i), fault))
		w.CreatePod(fmt.Sprintf("p%d", i), base(i), "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	}
	for i := range names {
		w.AwaitReady(fmt.Sprintf("p%d", i))
	}
	for i, fault := range names {
		w.Must(w.Fleet.Do(base(i), fault))
		w.DeletePod(fmt.Sprintf("p%d", i))
	}
	for i, fault := range names {
		w.AwaitGone(fmt.Sprintf("p%d", i), world.Timeout)
		b, err := w.Fleet.Base(base(i))
		w.Must(err)
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

// Lists that are an hour old, whenever they come, change nothing: the pod stays as it is,
// and nothing is installed again.
func TestAStaleListIsIgnored(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController("LIST_INTERVAL=1s")
	w.AwaitNodesReady(1)
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	ready := world.ReadySince(w.Pods("app=stock"))
	w.AwaitListed()
	old := fmt.Appendf(nil, `{"publishTimestamp":%d,"data":[]}`, time.Now().Add(-time.Hour).UnixMilli())
	tick := time.NewTicker(300 * time.Millisecond)
	defer tick.Stop()
	for range 10 {
		w.Must(w.Fleet.Post("/bases/base-0001/say?where=base/simpleBiz", old))
		<-tick.C
	}
	w.AwaitListed()
	w.CheckReadySince(ready, "app=stock")
	b, err := w.Fleet.Base("base-0001")
	w.Must(err)
	checkAskedOnce(w, b)
}

// A base that sends heartbeats and never answers turns NotReady, and the others work.
func TestAnUnresponsiveHTTPBaseDisturbsNoOther(t *testing.T) {
	t.Parallel()
	const bases = 20
	w := cluster.New(t).WithHTTP().WithController("STALE_AFTER=12s", "UNRESPONSIVE_AFTER=3s", "LIST_INTERVAL=1s").WithHTTPFleet(bases)
	w.AwaitNodesReady(bases)
	w.Must(w.Fleet.Do("base-0001", "mute"))
	w.AwaitNodeReason("base-0001", "BaseNotAnswering")
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), bases-1, world.Spread)
	w.AwaitPodsReady("app=stock", bases-1)
	w.Must(w.Fleet.Do("base-0001", "resume"))
	w.AwaitNodesReady(bases)
}
