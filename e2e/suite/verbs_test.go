package suite

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"

	"module-controller/e2e/process"
	"module-controller/e2e/world"
)

// verbs are what users do with kubectl to a Deployment of modules that serve requests.
type verbs struct {
	*world.World
	traffic *world.Traffic
	lost    int // requests, so far
}

// withVerbs starts a fleet over HTTP, and a Deployment of a module that serves requests at a
// port of its own, one pod on a base.
func withVerbs(t *testing.T, bases int, replicas int32) *verbs {
	t.Helper()
	return startVerbs(t, bases, replicas, map[string]any{}, world.Spread, rolls(3, 0))
}

// startVerbs starts a fleet over HTTP, and a Deployment of a module that serves requests.
// jar is what its jars are like, beside that.
func startVerbs(t *testing.T, bases int, replicas int32, jar map[string]any, change ...func(*appsv1.Deployment)) *verbs {
	t.Helper()
	w := cluster.New(t).WithService().WithReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=2s").WithHTTPFleet(bases, "--install-time", "300ms")
	w.AwaitNodesReady(bases)
	port, err := process.FreePort()
	w.Must(err)
	for _, version := range []string{"1.0.0", "2.0.0", "3.0.0"} {
		one := map[string]any{"url": world.Jar("orders", version), "name": "orders", "version": version, "port": port, "listens": true}
		maps.Copy(one, jar)
		w.Must(w.Fleet.Post("/jars", one))
	}
	w.CreateDeployment("orders", "1.0.0", world.Jar("orders", "1.0.0"), replicas, append(change, sleeps(5))...)
	w.AwaitPodsReady("app=orders", int(replicas))
	return &verbs{World: w, traffic: w.StartTraffic("app=orders", port)}
}

// sleeps has a Deployment's pods serve on for a while after they are deleted.
func sleeps(seconds int64) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) { sleepBeforeStop(&d.Spec.Template.Spec, seconds) }
}

func sleepBeforeStop(spec *corev1.PodSpec, seconds int64) {
	spec.Containers[0].Lifecycle = &corev1.Lifecycle{PreStop: &corev1.LifecycleHandler{Sleep: &corev1.SleepAction{Seconds: seconds}}}
}

func rolls(surge, unavailable int32) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		s, u := intstr.FromInt32(surge), intstr.FromInt32(unavailable)
		d.Spec.Strategy = appsv1.DeploymentStrategy{
			Type: appsv1.RollingUpdateDeploymentStrategyType, RollingUpdate: &appsv1.RollingUpdateDeployment{MaxSurge: &s, MaxUnavailable: &u},
		}
	}
}

// step does something, and fails the test where it takes longer than it may or requests
// were lost meanwhile. No other World may run beside it, whose load would delay endpoints.
func (v *verbs) step(what string, within time.Duration, do func()) {
	v.Helper()
	began := time.Now()
	do()
	took := time.Since(began)
	v.Logf("%s: %s", what, took.Round(10*time.Millisecond))
	if took > within {
		v.Errorf("%s took %s, may take %s", what, took, within)
	}
	lost := v.traffic.Report().Lost
	if n := len(lost) - v.lost; n > 0 {
		v.Errorf("%s: %d requests were lost, first %s", what, n, strings.Join(lost[v.lost:min(len(lost), v.lost+3)], "; "))
	}
	v.lost = len(lost)
}

// kubectl does something in the World's namespace.
func (v *verbs) kubectl(args ...string) {
	v.Helper()
	v.Kubectl(append([]string{"-n", v.Env}, args...)...)
}

// settled waits until the Deployment has rolled out, and its old pods are gone.
func (v *verbs) settled(pods int) {
	v.Helper()
	v.kubectl("rollout", "status", "deployment/orders", "--timeout=120s")
	v.AwaitPodsReady("app=orders", pods)
}

// only waits until a version alone answers.
func (v *verbs) only(version string) {
	v.Helper()
	before := v.traffic.Report()
	v.Eventually(world.Timeout, func() error {
		now := v.traffic.Report()
		fresh := now.By["orders:"+version+"\n"] - before.By["orders:"+version+"\n"]
		others := now.Sent - before.Sent - fresh
		if others > 0 { // from now on, then
			before = now
		}
		if others > 0 || fresh < 50 {
			return fmt.Errorf("%d answers by %s, %d by others", fresh, version, others)
		}
		return nil
	})
}

// Whatever is done to a Deployment with kubectl, each request is answered, where pods
// serve on for as long as load balancers need to hear of their end.
func TestKubectlLosesNoRequest(t *testing.T) {
	const bases, replicas = 20, 8
	v := withVerbs(t, bases, replicas)
	for _, c := range []struct {
		version            string
		surge, unavailable int
	}{{"2.0.0", 3, 0}, {"3.0.0", 0, 3}, {"1.0.0", 2, 2}} {
		v.kubectl("patch", "deployment/orders", "-p", fmt.Sprintf(
			`{"spec":{"strategy":{"rollingUpdate":{"maxSurge":%d,"maxUnavailable":%d}}}}`, c.surge, c.unavailable))
		v.step(fmt.Sprintf("rolling update with surge %d, unavailable %d", c.surge, c.unavailable), time.Minute, func() {
			v.SetVersion("orders", c.version, world.Jar("orders", c.version))
			v.settled(replicas)
		})
		v.only(c.version)
	}
	v.step("rollout undo", time.Minute, func() {
		v.kubectl("rollout", "undo", "deployment/orders")
		v.settled(replicas)
	})
	v.only("3.0.0")
	v.step("rollout restart", time.Minute, func() {
		v.kubectl("rollout", "restart", "deployment/orders")
		v.settled(replicas)
	})
	v.step("scale to more", 30*time.Second, func() {
		v.kubectl("scale", "deployment/orders", "--replicas=14")
		v.settled(14)
	})
	v.step("scale to fewer", 30*time.Second, func() {
		v.kubectl("scale", "deployment/orders", "--replicas=6")
		v.settled(6)
	})
	v.step("drain", time.Minute, func() {
		node := v.Pods("app=orders")[0].Spec.NodeName
		v.kubectl("drain", node, "--ignore-daemonsets", "--timeout=60s")
		v.settled(6)
		v.kubectl("uncordon", node)
	})
	r := v.traffic.Stop()
	t.Logf("%d requests, %d lost", r.Sent, len(r.Lost))
}

// As the README's Deployment places its pods, a new one starts beside the old one on the same
// base. Modules share the base's web server there, and each request is answered, whichever
// of the two serves: in rollouts, in an undo, and in an undo in the middle.
func TestRolloutsOnTheSameBasesLoseNoRequest(t *testing.T) {
	const bases = 4 // as many as pods, so that none is free
	v := startVerbs(t, bases, bases, map[string]any{"shared": true}, world.SpreadRevisions)
	for _, c := range []struct {
		version            string
		surge, unavailable int
	}{{"2.0.0", 1, 0}, {"3.0.0", 4, 0}, {"1.0.0", 2, 2}, {"2.0.0", 2, 0}} {
		v.kubectl("patch", "deployment/orders", "-p", fmt.Sprintf(
			`{"spec":{"strategy":{"rollingUpdate":{"maxSurge":%d,"maxUnavailable":%d}}}}`, c.surge, c.unavailable))
		v.step(fmt.Sprintf("rolling update with surge %d, unavailable %d", c.surge, c.unavailable), 90*time.Second, func() {
			v.SetVersion("orders", c.version, world.Jar("orders", c.version))
			v.settled(bases)
		})
		v.only(c.version)
	}
	v.step("rollout undo", 90*time.Second, func() {
		v.kubectl("rollout", "undo", "deployment/orders")
		v.settled(bases)
	})
	v.only("1.0.0")
	v.step("rollout undo in the middle", 90*time.Second, func() {
		v.SetVersion("orders", "3.0.0", world.Jar("orders", "3.0.0"))
		awaitReadyOf(v.World, "orders", "3.0.0")
		v.kubectl("rollout", "undo", "deployment/orders")
		v.settled(bases)
	})
	v.only("1.0.0")
	for n := range bases {
		b, err := v.Fleet.Base(world.BaseID(n + 1))
		v.Must(err)
		if b.Installs["orders:1.0.0"] == 0 || b.Installs["orders:2.0.0"] == 0 || b.Installs["orders:3.0.0"] == 0 {
			t.Errorf("%s has not had all versions: %v", b.Identity, b.Installs)
		}
	}
	r := v.traffic.Stop()
	t.Logf("%d requests, %d lost", r.Sent, len(r.Lost))
}

// Nodes that are drained at once empty one pod after the other, as far as a budget lets
// them; an eviction that it does not let is refused.
func TestDrainsKeepABudget(t *testing.T) {
	const bases, replicas = 20, 6
	v := withVerbs(t, bases, replicas)
	least := intstr.FromInt32(replicas)
	budgets := cluster.Client.PolicyV1().PodDisruptionBudgets(v.Env)
	budget, err := budgets.Create(t.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: "orders"},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &least, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "orders"}}},
	}, metav1.CreateOptions{})
	v.Must(err)
	awaitBudget(v, 0)
	pods := v.Pods("app=orders")
	eviction := &policyv1.Eviction{ObjectMeta: metav1.ObjectMeta{Name: pods[0].Name, Namespace: v.Env}}
	if err := cluster.Client.PolicyV1().Evictions(v.Env).Evict(t.Context(), eviction); !apierrors.IsTooManyRequests(err) {
		t.Errorf("an eviction that the budget forbids: %v", err)
	}
	v.kubectl("patch", "pdb/"+budget.Name, "-p", fmt.Sprintf(`{"spec":{"minAvailable":%d}}`, replicas-1))
	awaitBudget(v, 1)
	fewest := v.watchReady()
	v.step("drain of three nodes at once", 90*time.Second, func() {
		var drains sync.WaitGroup
		for _, pod := range pods[:3] {
			drains.Go(func() {
				if out, err := cluster.Plane.Kubectl(t.Context(), "drain", pod.Spec.NodeName, "--ignore-daemonsets", "--timeout=90s"); err != nil {
					t.Errorf("%v: %s", err, out)
				}
			})
		}
		drains.Wait()
		v.settled(replicas)
	})
	if n := fewest(); n < replicas-1 {
		t.Errorf("%d pods were ready meanwhile, the budget wants %d", n, replicas-1)
	}
	for _, pod := range v.Pods("app=orders") {
		if slices.ContainsFunc(pods[:3], func(was corev1.Pod) bool { return was.Spec.NodeName == pod.Spec.NodeName }) {
			t.Errorf("pod %s is on %s, which was drained", pod.Name, pod.Spec.NodeName)
		}
	}
}

// awaitBudget waits until a budget allows so many evictions.
func awaitBudget(v *verbs, allows int32) {
	v.Helper()
	v.Eventually(world.Timeout, func() error {
		b, err := cluster.Client.PolicyV1().PodDisruptionBudgets(v.Env).Get(v.Context(), "orders", metav1.GetOptions{})
		switch {
		case err != nil:
			return err
		case b.Status.ObservedGeneration != b.Generation, b.Status.DisruptionsAllowed != allows:
			return fmt.Errorf("the budget allows %d", b.Status.DisruptionsAllowed)
		}
		return nil
	})
}

// watchReady counts the Ready pods at each change, until fewest is called, which gives
// the smallest number.
func (v *verbs) watchReady() (fewest func() int) {
	v.Helper()
	selector := metav1.ListOptions{LabelSelector: "app=orders"}
	watcher, err := cluster.Client.CoreV1().Pods(v.Env).Watch(v.Context(), selector)
	v.Must(err)
	ready := map[string]bool{}
	for _, p := range v.Pods("app=orders") {
		ready[p.Name] = world.PodReady(p)
	}
	seen := make(chan int)
	go func() {
		least := len(ready)
		for e := range watcher.ResultChan() {
			p, ok := e.Object.(*corev1.Pod)
			if !ok {
				continue
			}
			ready[p.Name] = e.Type != "DELETED" && p.DeletionTimestamp == nil && world.PodReady(*p)
			n := 0
			for _, is := range ready {
				if is {
					n++
				}
			}
			least = min(least, n)
		}
		seen <- least
	}()
	return func() int {
		watcher.Stop()
		return <-seen
	}
}
