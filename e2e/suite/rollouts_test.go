package suite

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// oneBase is a base with a module stock:1.0.0 of a Deployment that is updated without a gap,
// as changed further.
func oneBase(t *testing.T, change ...func(*appsv1.Deployment)) *world.World {
	t.Helper()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController("LIST_INTERVAL=1s")
	w.AwaitNodesReady(1)
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), 1, append(change, world.Surge)...)
	w.AwaitPodsReady("app=stock", 1)
	return w
}

// named gives a Deployment and its pods another name than its module.
func named(name string) func(*appsv1.Deployment) {
	return func(d *appsv1.Deployment) {
		d.Name = name
		d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app": name}}
		d.Spec.Template.Labels["app"] = name
	}
}

// rollout has kubectl do something with the Deployment stock.
func rollout(w *world.World, what string) {
	w.Helper()
	w.Kubectl("-n", w.Env, "rollout", what, "deployment/stock")
}

// only is the one pod of an app.
func only(w *world.World, app string) corev1.Pod {
	w.Helper()
	pods := w.Pods("app=" + app)
	if len(pods) != 1 {
		w.Fatalf("%d pods of %s, want one", len(pods), app)
	}
	return pods[0]
}

// awaitReadyOf waits until a pod of a version is Ready.
func awaitReadyOf(w *world.World, app, version string) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		for _, p := range w.Pods("app=" + app) {
			if p.Spec.Containers[0].Env[0].Value == version && world.PodReady(p) {
				return nil
			}
		}
		return fmt.Errorf("no pod of %s with version %s is ready", app, version)
	})
}

// installs checks how many installs there were in all.
func installs(w *world.World, want int) {
	w.Helper()
	w.AwaitListed()
	if c := w.Counts(); c.Installs != want {
		w.Errorf("%d installs, want %d", c.Installs, want)
	}
}

// Of two Deployments that want the same version of one module the second waits, however
// often its pod is made anew: what serves is not installed again.
func TestTwoDeploymentsWantOneVersion(t *testing.T) {
	t.Parallel()
	w := oneBase(t)
	first := only(w, "stock")
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), 1, named("rival"))
	for range 2 {
		var waits corev1.Pod
		w.Eventually(world.Timeout, func() error {
			pods := w.Pods("app=rival")
			if len(pods) != 1 || pods[0].DeletionTimestamp != nil || !strings.HasPrefix(world.Waiting(pods[0]), "DuplicateModule") {
				return fmt.Errorf("%d pods of the second Deployment", len(pods))
			}
			waits = pods[0]
			return nil
		})
		w.DeletePod(waits.Name)
	}
	installs(w, 1)
	if now := only(w, "stock"); now.UID != first.UID || !world.PodReady(now) {
		t.Errorf("the first pod is ready %v: %s", world.PodReady(now), world.Waiting(now))
	}
	w.Must(cluster.Client.AppsV1().Deployments(w.Env).Delete(t.Context(), "stock", metav1.DeleteOptions{}))
	w.AwaitOnlyVersion("rival", "1.0.0")
	w.AwaitServing("base-0001", "stock:1.0.0")
}

// An undo ends although the Deployment allows no pod to be missing, and although the pod
// that it gives up is Ready but not yet available.
func TestAnUndoEnds(t *testing.T) {
	t.Parallel()
	w := oneBase(t, func(d *appsv1.Deployment) { d.Spec.MinReadySeconds = 10 })
	w.Eventually(world.Timeout, func() error { return available(w, 1) })
	w.SetVersion("stock", "2.0.0", world.Jar("stock", "2.0.0"))
	awaitReadyOf(w, "stock", "2.0.0")
	began := time.Now()
	rollout(w, "undo")
	awaitReadyOf(w, "stock", "1.0.0")
	t.Logf("the old version is ready %s after the undo", time.Since(began).Round(time.Millisecond))
	w.AwaitOnlyVersion("stock", "1.0.0")
	w.Eventually(world.Timeout, func() error { return available(w, 1) })
	w.AwaitServing("base-0001", "stock:1.0.0")
}

// available says whether so many pods of stock, and no others, are available.
func available(w *world.World, want int32) error {
	d, err := cluster.Client.AppsV1().Deployments(w.Env).Get(w.Context(), "stock", metav1.GetOptions{})
	if err == nil && (d.Status.AvailableReplicas != want || d.Status.Replicas != want || d.Status.ObservedGeneration != d.Generation) {
		err = fmt.Errorf("status %+v", d.Status)
	}
	return err
}

// A restart of a rollout installs the same version once more, for the new pod.
func TestARolloutIsRestarted(t *testing.T) {
	t.Parallel()
	w := oneBase(t)
	was := only(w, "stock")
	rollout(w, "restart")
	w.Eventually(world.Timeout, func() error { return available(w, 1) })
	w.AwaitOnlyVersion("stock", "1.0.0")
	if only(w, "stock").UID == was.UID {
		t.Error("the pod is the one before")
	}
	w.AwaitServing("base-0001", "stock:1.0.0")
	installs(w, 2)
}

// While a rollout is paused nothing happens; once it is resumed it ends.
func TestARolloutIsPaused(t *testing.T) {
	t.Parallel()
	w := oneBase(t)
	was := only(w, "stock")
	rollout(w, "pause")
	w.SetVersion("stock", "2.0.0", world.Jar("stock", "2.0.0"))
	installs(w, 1)
	if now := only(w, "stock"); now.UID != was.UID || !world.PodReady(now) {
		t.Errorf("the pod is ready %v: %s", world.PodReady(now), world.Waiting(now))
	}
	rollout(w, "resume")
	w.AwaitOnlyVersion("stock", "2.0.0")
	w.AwaitServing("base-0001", "stock:2.0.0")
}

// A canary is a second Deployment with another version. On a base of its own it serves; on
// one that has the stable version it waits, and takes nothing away.
func TestACanaryIsASecondDeployment(t *testing.T) {
	t.Parallel()
	w := oneBase(t)
	stable := only(w, "stock")
	w.CreateDeployment("stock", "2.0.0", world.Jar("stock", "2.0.0"), 1, named("canary"))
	w.Eventually(world.Timeout, func() error {
		if pods := w.Pods("app=canary"); len(pods) != 1 || !strings.HasPrefix(world.Waiting(pods[0]), "ModuleConflict") {
			return fmt.Errorf("pods of the canary: %d", len(pods))
		}
		return nil
	})
	installs(w, 1)
	w.AwaitServing("base-0001", "stock:1.0.0")
	if now := only(w, "stock"); now.UID != stable.UID || !world.PodReady(now) {
		t.Errorf("the stable pod is ready %v: %s", world.PodReady(now), world.Waiting(now))
	}
	w.Must(cluster.Client.AppsV1().Deployments(w.Env).Delete(t.Context(), "stock", metav1.DeleteOptions{}))
	w.AwaitOnlyVersion("canary", "2.0.0")
	w.AwaitServing("base-0001", "stock:2.0.0")
}

// A new pod with two modules, of which one cannot start, takes nothing from the old one:
// that stays Ready with both of its modules.
func TestARolloutOfTwoModulesIsWholeOrNot(t *testing.T) {
	t.Parallel()
	w := oneBase(t, func(d *appsv1.Deployment) {
		other := d.Spec.Template.Spec.Containers[0]
		other.Name, other.Image = "orders", world.Jar("orders", "1.0.0")
		other.Env = []corev1.EnvVar{{Name: "BIZ_VERSION", Value: "1.0.0"}}
		d.Spec.Template.Spec.Containers = append(d.Spec.Template.Spec.Containers, other)
	})
	old := only(w, "stock")
	w.AwaitServing("base-0001", "orders:1.0.0", "stock:1.0.0")
	for _, jar := range []map[string]any{
		{"url": world.Jar("stock", "2.0.0"), "name": "stock", "version": "2.0.0"},
		{"url": world.Jar("orders", "2.0.0"), "name": "orders", "version": "2.0.0", "failWith": "no orders today"},
	} {
		w.Must(w.Fleet.Post("/jars", jar))
	}
	w.Eventually(world.Timeout, func() error { // its status is written meanwhile
		d, err := cluster.Client.AppsV1().Deployments(w.Env).Get(t.Context(), "stock", metav1.GetOptions{})
		if err != nil {
			return err
		}
		for i := range d.Spec.Template.Spec.Containers {
			c := &d.Spec.Template.Spec.Containers[i]
			c.Image, c.Env[0].Value = world.Jar(c.Name, "2.0.0"), "2.0.0"
		}
		_, err = cluster.Client.AppsV1().Deployments(w.Env).Update(t.Context(), d, metav1.UpdateOptions{})
		return err
	})
	w.Eventually(world.Timeout, func() error {
		for _, p := range w.Pods("app=stock") {
			if p.UID != old.UID && strings.Contains(fmt.Sprint(p.Status.ContainerStatuses), "InstallBackOff") {
				return nil
			}
		}
		return fmt.Errorf("no new pod says that a module cannot start")
	})
	w.AwaitListed()
	now, err := w.GetPod(old.Name)
	w.Must(err)
	if !maps.Equal(world.ReadySince([]corev1.Pod{*now}), world.ReadySince([]corev1.Pod{old})) {
		t.Errorf("the old pod was not ready all the time: %+v", now.Status.Conditions)
	}
	serving, err := w.Fleet.Serving("base-0001")
	w.Must(err)
	if text := strings.Join(serving, " "); !strings.Contains(text, "orders:1.0.0") || !strings.Contains(text, "stock:1.0.0") {
		t.Errorf("the base serves %s", text)
	}
}
