//go:build moving

package moving

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/scenario"
	"module-controller/e2e/world"
)

var (
	cluster world.Cluster
	update  = flag.Bool("update", false, "write what v2.2.0 has made of a fleet to e2e/suite/testdata/v2.2.0")
)

// tunnels are tested one after the other: the ports of v2.2.0 are fixed.
var tunnels = []string{"mqtt", "http"}

func TestMain(m *testing.M) {
	cluster.MainInNetwork(m, func(ctx context.Context) error {
		_, err := build(ctx, os.Stderr)
		return err
	})
}

// A fleet of v2.2.0 moves here and back. Here all Nodes are Ready within a minute and no
// moment not, as are the pods; nothing is installed or uninstalled in all, and nobody even
// asks for it here. There again all Nodes are Ready within a minute too, and a new pod is served.
func TestTheMove(t *testing.T) {
	for _, tunnel := range tunnels {
		t.Run(tunnel, func(t *testing.T) {
			f := serve(t, tunnel, asReal, 0)
			nodes, pods := f.WatchNodes(), f.WatchPods("app=stock")
			installs, uninstalls := f.told("installBiz"), f.told("uninstallBiz")
			f.stopTheirs()
			f.Release()
			f.Here()
			f.StayLive(quiet)
			f.Same(bases)
			if n := f.told("installBiz") - installs; n != bases {
				t.Errorf("here the bases were told %d installs, want one for each new pod", n)
			}
			if n := f.told("uninstallBiz") - uninstalls; n != 0 {
				t.Errorf("here the bases were told %d uninstalls", n)
			}
			if seen := append(nodes(), pods()...); len(seen) > 0 {
				t.Errorf("here were not Ready: %q", seen)
			}
			f.Back()
			f.again(bases)
		})
	}
}

// A peer Deployment keeps its pods there, here and back, and has one on a base that joins here,
// which v2.2.0 never knew. By itself v2.2.0 deletes the Nodes of bases that it does not hear at
// once, and counts them as gone: where it does, the page has the Deployment out of its control.
func TestAPeerDeploymentMoves(t *testing.T) {
	for name, heartbeat := range map[string]string{"heard at once": "200ms", "as real": asReal} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, "http", heartbeat, 1)
			f.peer()
			f.Remember()
			replicas := f.WatchReplicas("peer")
			f.stopTheirs()
			f.Release()
			f.Settings = []string{followsBases}
			f.Here()
			f.join()
			f.Remember()
			if seen := replicas(); !slices.Equal(seen, []int32{bases + 1}) {
				t.Errorf("here the replicas became %v", seen)
			}
			replicas = f.WatchReplicas("peer")
			f.Back()
			if heartbeat == asReal {
				f.Kubectl(append([]string{"-n", f.Env, "label", "deployment", "peer"}, f.ByThePage("`kubectl label deployment NAME ", "`"))...)
			}
			f.again(0)
			f.AwaitOneEach("peer", f.Bases)
			if seen := replicas(); len(seen) > 0 {
				t.Errorf("there again the replicas became %v", seen)
			}
		})
	}
}

// v2.2.0 is stopped and started, and has its own Leases deleted before, without which it does
// not go on. This controller is not there: what is seen is not its doing. A base that is heard
// at once keeps its Node, and its pod may show that the install was refused.
func TestTheOtherAlone(t *testing.T) {
	for name, c := range map[string]struct{ tunnel, heartbeat string }{
		"mqtt": {"mqtt", asReal}, "http": {"http", asReal}, "mqtt, heard at once": {"mqtt", "200ms"},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, c.tunnel, c.heartbeat, 0)
			f.stopTheirs()
			f.DeleteLeases()
			f.again(0)
		})
	}
}

// Where v2.2.0 is stopped and started alone, a peer Deployment loses the replicas of the bases
// that are not heard at once, and gets new ones when they are: the page has it out of its control.
func TestTheOtherAloneScales(t *testing.T) {
	f := serve(t, "http", asReal, 0)
	f.peer()
	replicas := f.WatchReplicas("peer")
	deployments := cluster.Client.AppsV1().Deployments(f.Env)
	before, err := deployments.Get(t.Context(), "peer", metav1.GetOptions{})
	f.Must(err)
	f.stopTheirs()
	f.DeleteLeases()
	f.startTheirs("theirs-again")
	f.Eventually(world.Timeout, func() error {
		now, err := deployments.Get(t.Context(), "peer", metav1.GetOptions{})
		if err == nil && (now.Generation < before.Generation+2 || *now.Spec.Replicas != bases) {
			err = fmt.Errorf("it has %d replicas after %d changes", *now.Spec.Replicas, now.Generation-before.Generation)
		}
		return err
	})
	seen := replicas()
	f.Logf("the replicas became %v", seen)
	if !slices.ContainsFunc(seen, func(n int32) bool { return n < bases }) {
		t.Errorf("the replicas became %v, and docs/moving.md says that there are fewer for a time", seen)
	}
}

// A pod that shows that its install was refused is Ready once it was touched, as the page says.
// Such a pod is left where v2.2.0 makes the Node anew in the moment in which it writes that. It
// is written here while nobody runs, so that each run has one.
func TestARefusalThatIsLeft(t *testing.T) {
	f := serve(t, "mqtt", asReal, 0)
	f.stopTheirs()
	f.DeleteLeases()
	pod := f.Pods("app=stock")[0]
	is := &pod.Status.ContainerStatuses[0]
	is.Ready, is.State = false, corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
		Reason: "stock:1.0.0 installBiz failed", Message: "Biz: stock:1.0.0 has been installed or registered.",
	}}
	for i := range pod.Status.Conditions {
		pod.Status.Conditions[i].Status = corev1.ConditionFalse
	}
	_, err := cluster.Client.CoreV1().Pods(f.Env).UpdateStatus(t.Context(), &pod, metav1.UpdateOptions{})
	f.Must(err)
	f.again(0)
}

// asReal has heartbeats come as often as a real base's.
const asReal = "0s"

// serve has v2.2.0 find a fleet, and serve a module on each base. spare bases more are silent.
func serve(t *testing.T, tunnel, heartbeat string, spare int) *fleet {
	t.Helper()
	w := cluster.New(t)
	program, err := build(t.Context(), os.Stderr)
	w.Must(err)
	f := &fleet{Moving: scenario.NewMoving(w, &cluster, tunnel, bases+spare, "--heartbeat", heartbeat), program: program}
	f.Bases = bases
	for n := range spare {
		f.Must(f.Fleet.Do(world.BaseID(bases+n+1), "silence"))
	}
	f.startTheirs("theirs-first")
	f.AwaitNodesReady(bases)
	f.Eventually(world.Timeout, func() error { return f.heldBy("theirs-first") })
	f.deploy("stock")
	f.AwaitPodsReady("app=stock", bases)
	f.Must(f.Did(bases))
	f.Remember()
	if *update {
		f.Record()
	}
	return f
}

// again starts v2.2.0 where a fleet is that did so many installs since Remember. Within a minute
// all Nodes are Ready and its own, and stay so. It installs nothing and uninstalls nothing, the
// pods are the same, and a new one becomes Ready. What it does at its start is told: it asks for
// each install again, which the bases refuse; it makes Nodes anew whose base was not heard yet;
// and a pod may show the refusal until it is touched.
func (f *fleet) again(installs int) {
	f.Helper()
	nodes, pods, before := f.WatchNodes(), f.WatchPods("app=stock"), world.UIDs(f.Nodes())
	told := f.told("installBiz")
	began := time.Now()
	f.startTheirs("theirs-again")
	took := f.settle("theirs-again", installs).Sub(began).Round(100 * time.Millisecond)
	f.Logf("there again all Nodes were its own and Ready %s after it was started", took)
	if took > scenario.MovedWithin {
		f.Errorf("there again all Nodes were Ready after %s, want %s at most", took, scenario.MovedWithin)
	}
	f.Logf("there again the bases were told %d installs of what they have; Nodes made anew: %v", f.told("installBiz")-told, !maps.Equal(before, world.UIDs(f.Nodes())))
	f.touch()
	f.AwaitPodsReady("app=stock", bases)
	f.SamePods()
	f.Must(f.Did(installs))
	f.Logf("there again not Ready for a time: %q", append(nodes(), pods()...))
	f.deploy("bill")
	f.AwaitPodsReady("app=bill", f.Bases)
	f.Must(f.Did(installs + f.Bases))
}

// settle waits until v2.2.0 has had all Nodes Ready for the time in which nothing may happen,
// without a break, and gives since when.
func (f *fleet) settle(name string, installs int) (since time.Time) {
	f.Helper()
	f.Eventually(scenario.MovedWithin+quiet+world.Timeout, func() error {
		if err := f.Did(installs); err != nil {
			return harness.Final(err)
		}
		if err := cmp.Or(f.heldBy(name), f.allReady()); err != nil {
			since = time.Time{}
			return err
		}
		if since.IsZero() {
			since = time.Now()
		}
		if left := quiet - time.Since(since); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	return since
}

// touch has v2.2.0 look at the pods that are not Ready, by the page's command.
func (f *fleet) touch() {
	f.Helper()
	for _, p := range f.Pods("app=stock") {
		if !world.PodReady(p) {
			f.Logf("there again pod %s is still not Ready: %s", p.Name, world.Waiting(p))
			command := strings.ReplaceAll(f.ByThePage("any change of it: `kubectl annotate", "`"), "POD", p.Name)
			f.Kubectl(append([]string{"annotate", "-n", f.Env}, strings.Fields(command)...)...)
		}
	}
}
