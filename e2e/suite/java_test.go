//go:build java

package suite

import (
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

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/javabase"
)

// jvm is a world whose base is a real one.
type jvm struct {
	*world
	base *javabase.Base
	jars javabase.Artifacts
}

// The product against unmodified runtimes, as their users meet it.
func TestJava(t *testing.T) {
	for _, r := range []javabase.Runtime{javabase.Boot3, javabase.Boot2} {
		t.Run(r.Koupleless, func(t *testing.T) {
			w := newJVM(t, r)
			w.nodesReady(1)
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
	w := newWorld(t).withService().withReplicas(3, "SETTLE_TIME=3s", "LIST_INTERVAL=2s")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	runtimes := []javabase.Runtime{javabase.Boot3, javabase.Boot2}
	bases := make([]*javabase.Base, len(runtimes))
	jars := make([]javabase.Artifacts, len(runtimes))
	for i, r := range runtimes {
		var err error
		jars[i], err = javabase.Build(ctx, r, os.Stderr)
		w.must(err)
		identity := "jvm-" + strconv.Itoa(i)
		bases[i], err = javabase.Start(ctx, javabase.Options{
			Artifacts: jars[i], Identity: identity, HeartbeatEndpoint: w.endpoint(), HeartbeatPeriod: time.Second, MetaspaceLimit: 256 << 20,
		})
		w.must(err)
		t.Cleanup(func() { w.must(bases[i].Close()) })
		w.eventually(patience, func() error {
			_, err := client.CoreV1().Nodes().Get(ctx, w.nodeOf(identity), metav1.GetOptions{})
			return err
		})
		w.pod(identity, identity, "orders", "1.0.0", jars[i].Module("orders", "1.0.0"))
	}
	w.nodesReady(len(bases))
	for i := range bases {
		w.ready("jvm-" + strconv.Itoa(i))
	}
	w.settled()
	stop := w.watchNodes()
	before := []corev1.Pod{*w.ready("jvm-0"), *w.ready("jvm-1")}

	victim := w.owners()[w.nodeOf("jvm-0")].holder
	for i := range w.replicas {
		if w.incarnation(i) == victim {
			w.must(w.replicas[i].Kill())
			took := w.ownedBy(12*time.Second, len(bases), victim)
			t.Logf("the bases of %s were claimed %s after it was killed", victim, took.Round(time.Millisecond))
			w.must(w.replicas[i].Start(ctx))
		}
	}
	w.settled()
	for _, c := range w.replicas {
		w.must(c.Stop(40 * time.Second))
		w.must(c.Start(ctx))
	}
	w.settled()
	// Whoever owns them now knows them, and can do something for them.
	for i, b := range bases {
		identity := "jvm-" + strconv.Itoa(i)
		w.pod(identity+"-late", identity, "hello", "1.0.0", jars[i].Module("hello", "1.0.0"))
		w.ready(identity + "-late")
		text, err := os.ReadFile(b.Log())
		w.must(err)
		if n := strings.Count(string(text), "orders 1.0.0 starts"); n != 1 {
			t.Errorf("%s started orders %d times, want once; its log is %s", identity, n, b.Log())
		}
		p, err := w.get(identity)
		w.must(err)
		if !reflect.DeepEqual(readySince([]corev1.Pod{*p}), readySince(before[i:i+1])) {
			t.Errorf("the readiness of pod %s changed", identity)
		}
	}
	if bad := stop(); len(bad) > 0 {
		t.Errorf("nodes turned not ready: %v", bad)
	}
}

func newJVM(t *testing.T, r javabase.Runtime) *jvm {
	t.Helper()
	w := &jvm{world: newWorld(t).withHTTP()}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var err error
	w.jars, err = javabase.Build(ctx, r, os.Stderr)
	w.must(err)
	w.withController()
	w.base, err = javabase.Start(ctx, javabase.Options{
		Artifacts: w.jars, Identity: "jvm", HeartbeatEndpoint: w.endpoint(), HeartbeatPeriod: time.Second, MetaspaceLimit: 256 << 20,
	})
	w.must(err)
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
	w.eventually(patience, func() error {
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
	w.deployment("orders", "1.0.0", w.jars.Module("orders", "1.0.0"), 1, func(d *appsv1.Deployment) { d.Spec.Strategy = surge() })
	w.podsReady("app=orders", 1)
	w.servesOnly("orders", "1.0.0")

	stop := w.watchGaps("orders")
	w.setVersion("orders", "2.0.0", w.jars.Module("orders", "2.0.0"))
	w.eventually(patience, func() error { return w.onlyVersion("orders", "2.0.0") })
	w.servesOnly("orders", "2.0.0")
	asked, gaps := stop()
	w.Logf("rolling update: the list was read %d times, %d times without a serving version", asked, gaps)
	if asked == 0 || gaps > 0 {
		w.Errorf("the list was read %d times, %d times without a serving version", asked, gaps)
	}

	// A version whose main throws stops the rollout.
	before := w.pods("app=orders")[0].UID
	stop = w.watchGaps("orders")
	w.setVersion("orders", "3.0.0", w.jars.Module("orders", "3.0.0"))
	w.eventually(patience, func() error {
		for _, p := range w.pods("app=orders") {
			first, _, _ := strings.Cut(waiting(p), "\n")
			if p.UID != before && containsAny(first, "InstallFailed: ", "InstallBackOff: ") && containsAny(first, "no stock today") {
				return nil
			}
		}
		return fmt.Errorf("no pod shows the root cause")
	})
	w.servesOnly("orders", "2.0.0")
	if asked, gaps := stop(); asked == 0 || gaps > 0 {
		w.Errorf("failed rollout: the list was read %d times, %d times without a serving version", asked, gaps)
	}
	for _, p := range w.pods("app=orders") {
		if p.UID == before && !podReady(p) {
			w.Error("the old pod is not ready any more")
		}
	}
	// Taken back, the rollout ends.
	w.setVersion("orders", "2.0.0", w.jars.Module("orders", "2.0.0"))
	w.eventually(patience, func() error { return w.onlyVersion("orders", "2.0.0") })
}

func (w *jvm) namesAWrongVersion() {
	w.pod("wrong", "jvm", "stock", "9.9.9", w.jars.Module("stock", "1.0.0"))
	w.waits("wrong", "VersionMismatch", "9.9.9", "1.0.0")
	w.servesOnly("stock") // what it brought is uninstalled
	w.deletePod("wrong")
	w.gone("wrong", 5*time.Second)
}

func (w *jvm) comesBackAfterKill() {
	w.must(w.base.Kill())
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	w.must(w.base.Restart(ctx))
	up := time.Now() // it answers; its first heartbeat is about now
	w.servesOnly("orders", "2.0.0")
	if took := time.Since(up); took > 15*time.Second {
		w.Errorf("the module was back %s after the base was", took)
	} else {
		w.Logf("module back %s after the base was", took.Round(time.Millisecond))
	}
	w.podsReady("app=orders", 1)
}

func (w *jvm) removesAModuleWithoutSpring() {
	w.pod("hello", "jvm", "hello", "1.0.0", w.jars.Module("hello", "1.0.0"))
	w.ready("hello")
	w.deletePod("hello")
	w.gone("hello", 5*time.Second)
	w.servesOnly("hello")
}
