package suite

import (
	"fmt"
	"slices"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// serves waits until a base truly serves exactly these modules.
func (w *world) serves(identity string, want ...string) {
	w.Helper()
	w.eventually(patience, func() error {
		got, err := w.fleet.Serving(identity)
		if err != nil {
			return err
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			return fmt.Errorf("base %s serves %v, want %v", identity, got, want)
		}
		return nil
	})
}

// gone waits until a pod is gone from the API.
func (w *world) gone(name string, within time.Duration) {
	w.Helper()
	w.eventually(within, func() error {
		_, err := w.get(name)
		if apierrors.IsNotFound(err) {
			return nil
		}
		if err == nil {
			err = fmt.Errorf("pod %s is still there", name)
		}
		return err
	})
}

func (w *world) deletePod(name string, grace ...int64) {
	w.Helper()
	var opts metav1.DeleteOptions
	if len(grace) > 0 {
		opts.GracePeriodSeconds = &grace[0]
	}
	w.must(client.CoreV1().Pods(w.env).Delete(w.Context(), name, opts))
}

func TestNodeOfABase(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	node := w.nodes()[0]
	if node.Name != w.nodeOf("base-0001") {
		t.Errorf("node is %s, want %s", node.Name, w.nodeOf("base-0001"))
	}
	for key, want := range map[string]string{
		"base.koupleless.io/stack": "java", "virtual-kubelet.koupleless.io/component": "vnode",
		"virtual-kubelet.koupleless.io/env": w.env, "vnode.koupleless.io/tunnel": "mqtt_tunnel_provider",
		"kubernetes.io/hostname": node.Name,
	} {
		if node.Labels[key] != want {
			t.Errorf("label %s is %q, want %q", key, node.Labels[key], want)
		}
	}
	lease, err := client.CoordinationV1().Leases("kube-node-lease").Get(t.Context(), node.Name, metav1.GetOptions{})
	w.must(err)
	if lease.Spec.HolderIdentity == nil || *lease.Spec.LeaseDurationSeconds != 40 {
		t.Errorf("lease %+v", lease.Spec)
	}
	for key, want := range map[string]string{
		"virtual-kubelet.koupleless.io/component": "vnode-lease", "virtual-kubelet.koupleless.io/env": w.env,
		"virtual-kubelet.koupleless.io/owner": "module-controller-0", "virtual-kubelet.koupleless.io/state": "owned",
		"vnode.koupleless.io/tunnel": "mqtt_tunnel_provider", "vnode.koupleless.io/name": node.Labels["vnode.koupleless.io/name"],
	} {
		if lease.Labels[key] != want || want == "" {
			t.Errorf("the lease's label %s is %q, want %q", key, lease.Labels[key], want)
		}
	}
}

func TestAModulePodFromBindingToDeletion(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	pod := w.ready("stock")
	if pod.Status.PodIP == "" || pod.Status.HostIP != pod.Status.PodIP || pod.Status.Phase != corev1.PodRunning {
		t.Errorf("status %+v", pod.Status)
	}
	w.serves("base-0001", "stock:1.0.0")
	start := time.Now()
	w.deletePod("stock")
	w.gone("stock", 5*time.Second)
	t.Logf("gone %s after its deletion", time.Since(start).Round(time.Millisecond))
	w.serves("base-0001")
}

func TestADeploymentFromNodesToDeletion(t *testing.T) {
	onEachBroker(t, func(t *testing.T, broker string) {
		const bases = 5
		w := newWorld(t).withBrokerOf(broker).withFleet(bases).withController()
		w.nodesReady(bases)
		w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), bases, spread)
		w.podsReady("app=stock", bases)
		for n := range bases {
			w.serves(fmt.Sprintf("base-%04d", n+1), "stock:1.0.0")
		}
		w.must(client.AppsV1().Deployments(w.env).Delete(t.Context(), "stock", metav1.DeleteOptions{}))
		w.podsReady("app=stock", 0)
		for n := range bases {
			w.serves(fmt.Sprintf("base-%04d", n+1))
		}
		if c := w.counts(); c.Installs != bases || c.Uninstalls != bases {
			t.Errorf("%d installs and %d uninstalls, want %d of each", c.Installs, c.Uninstalls, bases)
		}
	})
}

func TestFailuresShowTheirReason(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	w.pod("none", "base-0001", "none", "1.0.0", "file:///opt/modules/missing.jar")
	w.pod("wrong", "base-0001", "orders", "9.9.9", jar("orders", "1.0.0"))
	w.pod("scheme", "base-0001", "ftp", "1.0.0", "ftp://example.com/x.jar")
	w.pod("versionless", "base-0001", "bare", "1.0.0", jar("bare", "1.0.0"), func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil })
	w.pod("secretless", "base-0001", "hidden", "1.0.0", jar("hidden", "1.0.0"), func(p *corev1.Pod) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "nosuch"}}}}
	})
	w.waits("wrong", "VersionMismatch", "9.9.9", "1.0.0")
	w.waits("scheme", "InvalidModule", "http")
	w.waits("versionless", "InvalidModule", "BIZ_VERSION")
	w.waits("secretless", "CreateContainerConfigError", "nosuch")
	w.eventually(patience, func() error {
		p, err := w.get("none")
		if err != nil {
			return err
		}
		if shown := waiting(*p); !containsAny(shown, "InstallFailed: ", "InstallBackOff: ") {
			return fmt.Errorf("pod shows %q", shown)
		}
		return nil
	})
	w.serves("base-0001") // the wrong one was uninstalled again
}

// Where the metaspace is full, the pod says so, and what serves goes on.
func TestTheMetaspaceIsFull(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1, "--metaspace", "64Mi").withController("BACKOFF_FIRST=1s", "BACKOFF_MAX=8s")
	w.nodesReady(1)
	w.must(w.fleet.Post("/jars", map[string]any{"url": jar("huge", "1.0.0"), "name": "huge", "version": "1.0.0", "metaspace": 32 << 20}))
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("stock")
	w.pod("huge", "base-0001", "huge", "1.0.0", jar("huge", "1.0.0"))
	w.waits("huge", "InstallBackOff", "Metaspace", "3 attempts failed, back-off 4s")
	w.serves("base-0001", "stock:1.0.0")
	if p, err := w.get("stock"); err != nil || !podReady(*p) {
		t.Errorf("what served is not ready any more (%v)", err)
	}
	w.deletePod("huge")
	w.gone("huge", 5*time.Second)
}

func TestRollingUpdateOverMQTT(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1, "--install-time", "300ms").withController()
	w.nodesReady(1)
	w.deployment("orders", "1.0.0", jar("orders", "1.0.0"), 1, func(d *appsv1.Deployment) {
		d.Spec.Strategy = surge()
	})
	w.podsReady("app=orders", 1)
	w.setVersion("orders", "2.0.0", jar("orders", "2.0.0"))
	w.eventually(patience, func() error { return w.onlyVersion("orders", "2.0.0") })
	w.serves("base-0001", "orders:2.0.0")

	// A version that cannot start stops the rollout; the old one serves on.
	w.must(w.fleet.Post("/jars", map[string]any{"url": jar("orders", "3.0.0"), "name": "orders", "version": "3.0.0", "failWith": "no stock today"}))
	before := w.pods("app=orders")[0].UID
	w.setVersion("orders", "3.0.0", jar("orders", "3.0.0"))
	w.eventually(patience, func() error {
		for _, p := range w.pods("app=orders") {
			if shown := waiting(p); p.UID != before && containsAny(shown, "no stock today") {
				return nil
			}
		}
		return fmt.Errorf("no pod shows the root cause")
	})
	w.serves("base-0001", "orders:2.0.0")
	for _, p := range w.pods("app=orders") {
		if p.UID == before && !podReady(p) {
			t.Error("the old pod is not ready any more")
		}
	}
}

func TestRollingUpdateOverHTTPHasNoGap(t *testing.T) {
	w := newWorld(t).withHTTP().withController().withHTTPFleet(1, "--install-time", "200ms")
	w.nodesReady(1)
	w.deployment("orders", "1.0.0", jar("orders", "1.0.0"), 1, func(d *appsv1.Deployment) { d.Spec.Strategy = surge() })
	w.podsReady("app=orders", 1)
	w.setVersion("orders", "2.0.0", jar("orders", "2.0.0"))
	w.eventually(patience, func() error { return w.onlyVersion("orders", "2.0.0") })
	w.serves("base-0001", "orders:2.0.0")
	b, err := w.fleet.Base("base-0001")
	w.must(err)
	for i, s := range b.Serving {
		if len(s.Modules) == 0 && i > 0 {
			t.Errorf("nothing served at %s: %v", s.At.Format(time.StampMilli), b.Serving)
		}
	}
}

// surge lets a Deployment of one replica be updated without a gap.
func surge() appsv1.DeploymentStrategy {
	zero, one := intstrOf(0), intstrOf(1)
	return appsv1.DeploymentStrategy{
		Type:          appsv1.RollingUpdateDeploymentStrategyType,
		RollingUpdate: &appsv1.RollingUpdateDeployment{MaxUnavailable: &zero, MaxSurge: &one},
	}
}

// onlyVersion checks that a Deployment's pods are one, of a version, and Ready.
func (w *world) onlyVersion(app, version string) error {
	pods := w.pods("app=" + app)
	if len(pods) != 1 || pods[0].Spec.Containers[0].Env[0].Value != version || !podReady(pods[0]) {
		return fmt.Errorf("%d pods, the first of version %s: %s", len(pods), pods[0].Spec.Containers[0].Env[0].Value, waiting(pods[0]))
	}
	return nil
}

func TestABaseRestartedInPlaceHasItsModulesBack(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	uid := w.ready("stock").UID
	start := time.Now()
	w.must(w.fleet.Do("base-0001", "restart"))
	w.eventually(15*time.Second, func() error {
		b, err := w.fleet.Base("base-0001")
		if err == nil && (b.Installs["stock:1.0.0"] != 2 || len(b.Modules) != 1) {
			err = fmt.Errorf("installed %d times, modules %v", b.Installs["stock:1.0.0"], b.Modules)
		}
		return err
	})
	t.Logf("module back %s after the restart", time.Since(start).Round(time.Millisecond))
	w.eventually(patience, func() error {
		p, err := w.get("stock")
		if err == nil && (!podReady(*p) || p.UID != uid || p.Status.ContainerStatuses[0].RestartCount != 1) {
			err = fmt.Errorf("pod %s, ready %v, restarts %d", p.UID, podReady(*p), p.Status.ContainerStatuses[0].RestartCount)
		}
		return err
	})
}

func TestAPodDeletedWhileItsBaseIsAway(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController("STALE_AFTER=12s", "LIST_INTERVAL=2s")
	w.nodesReady(1)
	w.pod("stock", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.ready("stock")
	w.must(w.fleet.Do("base-0001", "silence"))
	w.deletePod("stock", 0)
	w.gone("stock", 5*time.Second)
	w.must(w.fleet.Do("base-0001", "resume"))
	w.serves("base-0001")
	counts, err := w.fleet.Counts()
	w.must(err)
	if counts.Installs != 1 || counts.Uninstalls != 1 {
		t.Errorf("installs %d, uninstalls %d, want one of each", counts.Installs, counts.Uninstalls)
	}
}

func TestAModuleThatNobodyAskedForIsReported(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController()
	w.nodesReady(1)
	w.must(w.fleet.Post("/bases/base-0001/install", map[string]any{"bizName": "alien", "bizVersion": "1", "bizUrl": jar("alien", "1")}))
	node := w.nodeOf("base-0001")
	w.eventually(patience, func() error {
		events, err := client.CoreV1().Events("default").List(w.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + node + ",reason=UnmanagedModule"})
		if err == nil && len(events.Items) == 0 {
			err = fmt.Errorf("no event on %s", node)
		}
		return err
	})
	w.serves("base-0001", "alien:1")
}
