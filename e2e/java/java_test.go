//go:build java

package java

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/javabase"
	"module-controller/e2e/world"
)

var cluster world.Cluster

func TestMain(m *testing.M) { cluster.Main(m) }

// jvm is a World whose base is a real one.
type jvm struct {
	*world.World
	base *javabase.Base
	jars javabase.Artifacts
}

// The product against unmodified runtimes, as their users meet it.
func TestJava(t *testing.T) {
	for _, r := range []javabase.Runtime{javabase.Boot3, javabase.Boot2} {
		t.Run(r.Koupleless, func(t *testing.T) {
			w := newJVM(t, r)
			w.AwaitNodesReady(1)
			w.rollsOutVersions()
			w.namesAWrongVersion()
			w.comesBackAfterKill()
			w.removesAModuleWithoutSpring()
		})
	}
}

// Real bases among several replicas, one of which is killed, then all are restarted:
// no module is started again.
func TestJavaAmongReplicas(t *testing.T) {
	w := cluster.New(t).WithService().WithReplicas(3, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	w.CreateBasePods("127.0.0.1") // where all JVMs of this machine are
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	runtimes := []javabase.Runtime{javabase.Boot3, javabase.Boot2}
	bases := make([]*javabase.Base, len(runtimes))
	jars := make([]javabase.Artifacts, len(runtimes))
	for i, r := range runtimes {
		var err error
		jars[i], err = javabase.Build(ctx, r, os.Stderr)
		w.Must(err)
		identity := "jvm-" + strconv.Itoa(i)
		bases[i], err = javabase.Start(ctx, javabase.Options{
			Artifacts: jars[i], Identity: identity, HeartbeatEndpoint: w.Endpoint(), HeartbeatPeriod: time.Second, MetaspaceLimit: 256 << 20,
		})
		w.Must(err)
		t.Cleanup(func() { w.Must(bases[i].Close()) })
		w.Eventually(world.Timeout, func() error {
			_, err := cluster.Client.CoreV1().Nodes().Get(ctx, w.NodeName(identity), metav1.GetOptions{})
			return err
		})
		w.CreatePod(identity, identity, "orders", "1.0.0", jars[i].Module("orders", "1.0.0"))
	}
	w.AwaitNodesReady(len(bases))
	for i := range bases {
		w.AwaitReady("jvm-" + strconv.Itoa(i))
	}
	w.AwaitPlaced()
	stop := w.WatchNodes()
	before := []corev1.Pod{*w.AwaitReady("jvm-0"), *w.AwaitReady("jvm-1")}

	victim := w.Owners()[w.NodeName("jvm-0")].Holder
	for i := range w.Replicas {
		if w.Incarnation(i) == victim {
			w.Must(w.Replicas[i].Kill())
			took := w.AwaitOwned(12*time.Second, len(bases), victim)
			t.Logf("the bases of %s were claimed %s after it was killed", victim, took.Round(time.Millisecond))
			w.Must(w.Replicas[i].Start(ctx))
		}
	}
	w.AwaitPlaced()
	for _, c := range w.Replicas {
		w.Must(c.Stop(world.StopTimeout))
		w.Must(c.Start(ctx))
	}
	w.AwaitPlaced()
	// Whoever owns them now knows them, and can do something for them.
	for i, b := range bases {
		identity := "jvm-" + strconv.Itoa(i)
		w.CreatePod(identity+"-late", identity, "hello", "1.0.0", jars[i].Module("hello", "1.0.0"))
		w.AwaitReady(identity + "-late")
		text, err := os.ReadFile(b.Log())
		w.Must(err)
		if n := strings.Count(string(text), "orders 1.0.0 starts"); n != 1 {
			t.Errorf("%s started orders %d times, want once; its log is %s", identity, n, b.Log())
		}
		p, err := w.GetPod(identity)
		w.Must(err)
		if !reflect.DeepEqual(world.ReadySince([]corev1.Pod{*p}), world.ReadySince(before[i:i+1])) {
			t.Errorf("the readiness of pod %s changed", identity)
		}
	}
	if bad := stop(); len(bad) > 0 {
		t.Errorf("nodes turned not ready: %v", bad)
	}
}

func newJVM(t *testing.T, r javabase.Runtime) *jvm {
	t.Helper()
	w := &jvm{World: cluster.New(t).WithHTTP().WithKubeletAPI(1)}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var err error
	w.jars, err = javabase.Build(ctx, r, os.Stderr)
	w.Must(err)
	w.WithController()
	w.CreateBasePods("127.0.0.1") // where the JVM will be
	w.base, err = javabase.Start(ctx, javabase.Options{
		Artifacts: w.jars, Identity: "jvm", HeartbeatEndpoint: w.Endpoint(), HeartbeatPeriod: time.Second, MetaspaceLimit: 256 << 20,
	})
	w.Must(err)
	t.Cleanup(func() {
		if err := w.base.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

// activated asks the base itself which versions of a module serve.
func (w *jvm) activated(ctx context.Context, name string) ([]string, error) {
	modules, err := w.base.Modules(ctx)
	var serving []string
	for _, m := range modules {
		if m.Name == name && m.State == "activated" {
			serving = append(serving, m.Version)
		}
	}
	return serving, err
}

func (w *jvm) servesOnly(name string, want ...string) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		got, err := w.activated(w.Context(), name)
		if err == nil && !slices.Equal(got, want) {
			err = fmt.Errorf("the base serves %s %v, want %v", name, got, want)
		}
		return err
	})
}

// watchGaps asks the base all the time, and gives how often no version of a module
// served.
func (w *jvm) watchGaps(name string) (stop func() (asked, gaps int)) {
	ctx, cancel := context.WithCancel(w.Context())
	var wg sync.WaitGroup
	asked, gaps := 0, 0
	wg.Go(func() {
		for ctx.Err() == nil {
			serving, err := w.activated(ctx, name)
			if err != nil {
				continue
			}
			asked++
			if len(serving) == 0 {
				gaps++
			}
		}
	})
	return func() (int, int) {
		cancel()
		wg.Wait()
		return asked, gaps
	}
}

func (w *jvm) rollsOutVersions() {
	w.CreateDeployment("orders", "1.0.0", w.jars.Module("orders", "1.0.0"), 1, world.Surge)
	w.AwaitPodsReady("app=orders", 1)
	w.servesOnly("orders", "1.0.0")

	stop := w.watchGaps("orders")
	w.SetVersion("orders", "2.0.0", w.jars.Module("orders", "2.0.0"))
	w.AwaitOnlyVersion("orders", "2.0.0")
	w.servesOnly("orders", "2.0.0")
	asked, gaps := stop()
	w.Logf("rolling update: the list was read %d times, %d times without a serving version", asked, gaps)
	if asked == 0 || gaps > 0 {
		w.Errorf("the list was read %d times, %d times without a serving version", asked, gaps)
	}

	// A version whose main throws stops the rollout.
	before := w.Pods("app=orders")[0].UID
	stop = w.watchGaps("orders")
	w.SetVersion("orders", "3.0.0", w.jars.Module("orders", "3.0.0"))
	w.Eventually(world.Timeout, func() error {
		for _, p := range w.Pods("app=orders") {
			first, _, _ := strings.Cut(world.Waiting(p), "\n")
			if p.UID != before && world.ContainsAny(first, "InstallFailed: ", "InstallBackOff: ") && world.ContainsAny(first, "no stock today") {
				return nil
			}
		}
		return fmt.Errorf("no pod shows the root cause")
	})
	w.servesOnly("orders", "2.0.0")
	if asked, gaps := stop(); asked == 0 || gaps > 0 {
		w.Errorf("failed rollout: the list was read %d times, %d times without a serving version", asked, gaps)
	}
	for _, p := range w.Pods("app=orders") {
		if p.UID == before && !world.PodReady(p) {
			w.Error("the old pod is not ready any more")
		}
	}
	// Taken back, the rollout ends.
	w.SetVersion("orders", "2.0.0", w.jars.Module("orders", "2.0.0"))
	w.AwaitOnlyVersion("orders", "2.0.0")
}

func (w *jvm) namesAWrongVersion() {
	w.CreatePod("wrong", "jvm", "stock", "9.9.9", w.jars.Module("stock", "1.0.0"))
	w.AwaitWaiting("wrong", "VersionMismatch", "9.9.9", "1.0.0")
	w.servesOnly("stock") // what was installed for it is uninstalled
	w.DeletePod("wrong")
	w.AwaitGone("wrong", 5*time.Second)
}

func (w *jvm) comesBackAfterKill() {
	w.Must(w.base.Kill())
	ctx, cancel := context.WithTimeout(w.Context(), world.Timeout)
	defer cancel()
	w.Must(w.base.Restart(ctx))
	up := time.Now() // it answers; its first heartbeat is about now
	w.servesOnly("orders", "2.0.0")
	if took := time.Since(up); took > 15*time.Second {
		w.Errorf("the module was back %s after the base was", took)
	} else {
		w.Logf("module back %s after the base was", took.Round(time.Millisecond))
	}
	w.AwaitPodsReady("app=orders", 1)
}

func (w *jvm) removesAModuleWithoutSpring() {
	w.CreatePod("hello", "jvm", "hello", "1.0.0", w.jars.Module("hello", "1.0.0"))
	w.AwaitReady("hello")
	w.DeletePod("hello")
	w.AwaitGone("hello", 5*time.Second)
	w.servesOnly("hello")
}

// Questions to a real base go through the real API server, and its log is that of its Pod, which
// is followed as it grows. The JVM of this machine runs in no container: the machine of its Pod
// tells what the JVM writes.
func TestKubectlAtAJVM(t *testing.T) {
	w := newJVM(t, javabase.Boot3)
	w.WithMachineOf(w.base.Log())
	w.AwaitNodesReady(1)
	w.CreatePod("orders", "jvm", "orders", "1.0.0", w.jars.Module("orders", "1.0.0"))
	w.AwaitReady("orders")
	for _, c := range []struct{ args, want string }{
		{"exec orders -- modules", `"name": "orders"`},
		{"exec orders -- health", `"usedMetaspaceBytes": `},
		{"logs orders", "orders"},
	} {
		out, err := cluster.Plane.Kubectl(t.Context(), append([]string{"-n", w.Env}, strings.Fields(c.args)...)...)
		if err != nil || !strings.Contains(out, c.want) {
			t.Errorf("kubectl %s: %q, want %q (%v)", c.args, out, c.want, err)
		}
	}
	last, err := cluster.Plane.Kubectl(t.Context(), "-n", w.Env, "logs", "orders", "--tail=1")
	if written, readErr := os.ReadFile(w.base.Log()); err != nil || readErr != nil || strings.Count(last, "\n") != 1 || !strings.Contains(string(written), "\n"+last) {
		t.Errorf("the last line of the log is %q (%v, %v)", last, err, readErr)
	}
	if _, err := cluster.Plane.Kubectl(t.Context(), "-n", w.Env, "exec", "orders", "--", "jcmd", "1", "VM.exit"); err == nil || !strings.Contains(err.Error(), "is refused: a base is asked questions only") {
		t.Errorf("a command: %v", err)
	}
	for _, args := range []string{"exec orders -- modules", "logs orders", "logs -f orders"} {
		if _, err := cluster.Plane.Kubectl(t.Context(), append([]string{"-n", w.Env, "--as=system:serviceaccount:" + w.Env + ":default"}, strings.Fields(args)...)...); err == nil || !strings.Contains(err.Error(), "Forbidden") {
			t.Errorf("%s by one who may not: %v", args, err)
		}
	}
	w.followsTheLog("orders")
	w.Eventually(world.Timeout, func() error {
		sum, err := w.StatsOf("jvm")
		if err == nil && (sum.Node.Memory == nil || sum.Node.CPU == nil || *sum.Node.Memory.WorkingSetBytes == 0) {
			err = fmt.Errorf("it uses %+v", sum.Node)
		}
		return err
	})
}

// followsTheLog checks that who follows the log of a module's pod with kubectl reads what the base
// writes from then on: of another module, which is installed meanwhile.
func (w *jvm) followsTheLog(pod string) {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), world.Timeout)
	defer cancel()
	kubectl := cluster.Plane.KubectlCommand(ctx, "-n", w.Env, "logs", "-f", "--tail=1", pod)
	kubectl.WaitDelay = world.Timeout
	out, err := kubectl.StdoutPipe()
	w.Must(err)
	w.Must(kubectl.Start())
	defer func() {
		cancel()
		_ = kubectl.Wait() // it was killed
	}()
	lines := bufio.NewScanner(out)
	if !lines.Scan() { // it follows from here on
		w.Fatalf("the log has no line: %v", lines.Err())
	}
	w.CreatePod("stock", "jvm", "stock", "1.0.0", w.jars.Module("stock", "1.0.0"))
	for told := false; !told; told = strings.Contains(lines.Text(), "stock 1.0.0 starts") {
		if !lines.Scan() {
			w.Fatalf("the log ended before it told of the module: %v", lines.Err())
		}
	}
	w.AwaitReady("stock")
}
