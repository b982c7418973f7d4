//go:build moving

package moving

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
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
// asks for it here. There again a new pod is served.
func TestTheMove(t *testing.T) {
	for _, tunnel := range tunnels {
		t.Run(tunnel, func(t *testing.T) {
			f := serve(t, tunnel, asReal)
			nodes, pods := f.WatchNodes(), f.WatchPods("app=stock")
			installs, uninstalls := f.told("installBiz"), f.told("uninstallBiz")
			f.stopTheirs()
			f.Release()
			f.Here()
			f.StayLive(quiet)
			f.Same(2 * bases)
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
			f.again(2 * bases)
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
			f := serve(t, c.tunnel, c.heartbeat)
			f.stopTheirs()
			f.DeleteLeases()
			f.again(bases)
		})
	}
}

// A pod that shows that its install was refused is Ready once it was touched, as the page says.
// Such a pod is left where v2.2.0 makes the Node anew in the moment in which it writes that. It
// is written here while nobody runs, so that each run has one.
func TestARefusalThatIsLeft(t *testing.T) {
	f := serve(t, "mqtt", asReal)
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
	f.again(bases)
}

// asReal has heartbeats come as often as a real base's.
const asReal = "0s"

// serve has v2.2.0 find a fleet, and serve a module on each base.
func serve(t *testing.T, tunnel, heartbeat string) *fleet {
	t.Helper()
	w := cluster.New(t)
	program, err := build(t.Context(), os.Stderr)
	w.Must(err)
	f := &fleet{Moving: scenario.NewMoving(w, &cluster, tunnel, bases, "--heartbeat", heartbeat), program: program}
	f.startTheirs("theirs-first")
	f.AwaitNodesReady(bases)
	f.awaitTheirs("theirs-first")
	f.deploy("stock")
	f.AwaitPodsReady("app=stock", bases)
	f.Must(f.Did(bases))
	f.Remember()
	if *update {
		f.Record()
	}
	return f
}

// again starts v2.2.0 where a fleet is that did so many installs. It makes the Leases anew,
// installs nothing and uninstalls nothing, the pods are the same, and a new one becomes Ready.
// What it does at its start is told: it asks for each install again, which the bases refuse; it
// makes Nodes anew whose base was not heard yet; and a pod may show the refusal until it is
// touched.
func (f *fleet) again(installs int) {
	f.Helper()
	nodes, pods, before := f.WatchNodes(), f.WatchPods("app=stock"), world.UIDs(f.Nodes())
	told := f.told("installBiz")
	began := time.Now()
	f.startTheirs("theirs-again")
	f.awaitTheirs("theirs-again")
	f.Eventually(quiet+world.Timeout, func() error {
		if err := f.Did(installs); err != nil {
			return harness.Final(err)
		}
		if left := quiet - time.Since(began); left > 0 {
			return fmt.Errorf("%s are left", left)
		}
		return nil
	})
	f.awaitTheirs("theirs-again")
	f.AwaitNodesReady(bases)
	f.Logf("there again the bases were told %d installs of what they have; Nodes made anew: %v", f.told("installBiz")-told, !maps.Equal(before, world.UIDs(f.Nodes())))
	f.touch()
	f.AwaitPodsReady("app=stock", bases)
	f.SamePods()
	f.Must(f.Did(installs))
	f.Logf("there again not Ready for a time: %q", append(nodes(), pods()...))
	f.deploy("bill")
	f.AwaitPodsReady("app=bill", bases)
	f.Must(f.Did(installs + bases))
}

// touch has v2.2.0 look at the pods that are not Ready, by the page's command.
func (f *fleet) touch() {
	f.Helper()
	for _, p := range f.Pods("app=stock") {
		if !world.PodReady(p) {
			f.Logf("there again pod %s is still not Ready: %s", p.Name, world.Waiting(p))
			command := strings.ReplaceAll(f.ByThePage("`kubectl annotate", "`"), "POD", p.Name)
			f.Kubectl(append([]string{"annotate", "-n", f.Env}, strings.Fields(command)...)...)
		}
	}
}
