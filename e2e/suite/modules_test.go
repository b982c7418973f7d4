package suite

import (
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

func TestNodeOfABase(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	node := w.Nodes()[0]
	if node.Name != w.NodeName("base-0001") {
		t.Errorf("node is %s, want %s", node.Name, w.NodeName("base-0001"))
	}
	for key, want := range map[string]string{
		"base.koupleless.io/stack": "java", "virtual-kubelet.koupleless.io/component": "vnode",
		"virtual-kubelet.koupleless.io/env": w.Env, "vnode.koupleless.io/tunnel": "mqtt_tunnel_provider",
		"kubernetes.io/hostname": node.Name,
	} {
		if node.Labels[key] != want {
			t.Errorf("label %s is %q, want %q", key, node.Labels[key], want)
		}
	}
	lease, err := w.BaseLeases().Get(t.Context(), node.Name, metav1.GetOptions{})
	w.Must(err)
	if lease.Spec.HolderIdentity == nil || *lease.Spec.LeaseDurationSeconds != 40 {
		t.Errorf("lease %+v", lease.Spec)
	}
	for key, want := range map[string]string{
		"virtual-kubelet.koupleless.io/component": "vnode-lease", "virtual-kubelet.koupleless.io/env": w.Env,
		"virtual-kubelet.koupleless.io/owner": "module-controller-0",
		"vnode.koupleless.io/tunnel":          "mqtt_tunnel_provider", "vnode.koupleless.io/name": node.Labels["vnode.koupleless.io/name"],
	} {
		if lease.Labels[key] != want || want == "" {
			t.Errorf("the lease's label %s is %q, want %q", key, lease.Labels[key], want)
		}
	}
	// It is claimed until it is renewed for the first time.
	if state := lease.Labels["virtual-kubelet.koupleless.io/state"]; state != "claimed" && state != "owned" {
		t.Errorf("the lease's state is %q", state)
	}
}

func TestAModulePodFromBindingToDeletion(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	pod := w.AwaitReady("stock")
	if pod.Status.PodIP == "" || pod.Status.HostIP != pod.Status.PodIP || pod.Status.Phase != corev1.PodRunning {
		t.Errorf("status %+v", pod.Status)
	}
	w.AwaitServing("base-0001", "stock:1.0.0")
	start := time.Now()
	w.DeletePod("stock")
	w.AwaitGone("stock", 5*time.Second)
	t.Logf("gone %s after its deletion", time.Since(start).Round(time.Millisecond))
	w.AwaitServing("base-0001")
}

func TestADeploymentFromNodesToDeletion(t *testing.T) {
	t.Parallel()
	onEachBroker(t, func(t *testing.T, broker string) {
		const bases = 5
		w := cluster.New(t).WithBrokerOf(broker).WithFleet(bases).WithController()
		w.AwaitNodesReady(bases)
		w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), bases, world.Spread)
		w.AwaitPodsReady("app=stock", bases)
		for n := range bases {
			w.AwaitServing(world.BaseID(n+1), "stock:1.0.0")
		}
		w.Must(cluster.Client.AppsV1().Deployments(w.Env).Delete(t.Context(), "stock", metav1.DeleteOptions{}))
		w.AwaitPodsReady("app=stock", 0)
		for n := range bases {
			w.AwaitServing(world.BaseID(n + 1))
		}
		if c := w.Counts(); c.Installs != bases || c.Uninstalls != bases {
			t.Errorf("%d installs and %d uninstalls, want %d of each", c.Installs, c.Uninstalls, bases)
		}
	})
}

func TestFailuresShowTheirReason(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithEnvironmentAccess().WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	w.CreatePod("none", "base-0001", "none", "1.0.0", "file:///opt/modules/missing.jar")
	w.CreatePod("wrong", "base-0001", "orders", "9.9.9", world.Jar("orders", "1.0.0"))
	w.CreatePod("scheme", "base-0001", "ftp", "1.0.0", "ftp://example.com/x.jar")
	w.CreatePod("versionless", "base-0001", "bare", "1.0.0", world.Jar("bare", "1.0.0"), func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil })
	w.CreatePod("secretless", "base-0001", "hidden", "1.0.0", world.Jar("hidden", "1.0.0"), func(p *corev1.Pod) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{
			LocalObjectReference: corev1.LocalObjectReference{Name: "nosuch"}}}}
	})
	w.AwaitWaiting("wrong", "VersionMismatch", "9.9.9", "1.0.0")
	w.AwaitWaiting("scheme", "InvalidModule", "http")
	w.AwaitWaiting("versionless", "InvalidModule", "BIZ_VERSION")
	w.AwaitWaiting("secretless", "CreateContainerConfigError", "nosuch")
	w.Eventually(world.Timeout, func() error {
		p, err := w.GetPod("none")
		if err != nil {
			return err
		}
		if shown := world.Waiting(*p); !world.ContainsAny(shown, "InstallFailed: ", "InstallBackOff: ") {
			return fmt.Errorf("pod shows %q", shown)
		}
		return nil
	})
	w.AwaitServing("base-0001") // the wrong one was uninstalled again
}

// Where the metaspace is full, the pod says so, and what serves goes on.
func TestAFullMetaspaceIsReported(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1, "--metaspace", "64Mi").WithController("BACKOFF_BASE=1s", "BACKOFF_MAX=8s")
	w.AwaitNodesReady(1)
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("huge", "1.0.0"), "name": "huge", "version": "1.0.0", "metaspace": 32 << 20}))
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	w.CreatePod("huge", "base-0001", "huge", "1.0.0", world.Jar("huge", "1.0.0"))
	w.AwaitWaiting("huge", "InstallBackOff", "Metaspace", "3 attempts failed, back-off 4s")
	w.AwaitServing("base-0001", "stock:1.0.0")
	if p, err := w.GetPod("stock"); err != nil || !world.PodReady(*p) {
		t.Errorf("what served is not ready any more (%v)", err)
	}
	w.DeletePod("huge")
	w.AwaitGone("huge", 5*time.Second)
}

func TestRollingUpdateOverMQTT(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1, "--install-time", "300ms").WithController()
	w.AwaitNodesReady(1)
	w.CreateDeployment("orders", "1.0.0", world.Jar("orders", "1.0.0"), 1, world.Surge)
	w.AwaitPodsReady("app=orders", 1)
	w.SetVersion("orders", "2.0.0", world.Jar("orders", "2.0.0"))
	w.AwaitOnlyVersion("orders", "2.0.0")
	w.AwaitServing("base-0001", "orders:2.0.0")

	// A version that cannot start stops the rollout; the old one serves on.
	w.Must(w.Fleet.Post("/jars", map[string]any{"url": world.Jar("orders", "3.0.0"), "name": "orders", "version": "3.0.0", "failWith": "no stock today"}))
	before := w.Pods("app=orders")[0].UID
	w.SetVersion("orders", "3.0.0", world.Jar("orders", "3.0.0"))
	w.Eventually(world.Timeout, func() error {
		for _, p := range w.Pods("app=orders") {
			if shown := world.Waiting(p); p.UID != before && world.ContainsAny(shown, "no stock today") {
				return nil
			}
		}
		return fmt.Errorf("no pod shows the root cause")
	})
	w.AwaitServing("base-0001", "orders:2.0.0")
	for _, p := range w.Pods("app=orders") {
		if p.UID == before && !world.PodReady(p) {
			t.Error("the old pod is not ready any more")
		}
	}
}

func TestRollingUpdateOverHTTPHasNoGap(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP().WithController().WithHTTPFleet(1, "--install-time", "200ms")
	w.AwaitNodesReady(1)
	w.CreateDeployment("orders", "1.0.0", world.Jar("orders", "1.0.0"), 1, world.Surge)
	w.AwaitPodsReady("app=orders", 1)
	w.SetVersion("orders", "2.0.0", world.Jar("orders", "2.0.0"))
	w.AwaitOnlyVersion("orders", "2.0.0")
	w.AwaitServing("base-0001", "orders:2.0.0")
	b, err := w.Fleet.Base("base-0001")
	w.Must(err)
	for i, s := range b.Serving {
		if len(s.Modules) == 0 && i > 0 {
			t.Errorf("nothing served at %s: %v", s.At.Format(time.StampMilli), b.Serving)
		}
	}
}

func TestARestartedBaseGetsItsModulesBack(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.AwaitNodesReady(1)
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	uid := w.AwaitReady("stock").UID
	start := time.Now()
	w.Must(w.Fleet.Do("base-0001", "restart"))
	w.Eventually(15*time.Second, func() error {
		b, err := w.Fleet.Base("base-0001")
		if err == nil && (b.Installs["stock:1.0.0"] != 2 || len(b.Modules) != 1) {
			err = fmt.Errorf("installed %d times, modules %v", b.Installs["stock:1.0.0"], b.Modules)
		}
		return err
	})
	t.Logf("module back %s after the restart", time.Since(start).Round(time.Millisecond))
	w.Eventually(world.Timeout, func() error {
		p, err := w.GetPod("stock")
		if err == nil && (!world.PodReady(*p) || p.UID != uid || p.Status.ContainerStatuses[0].RestartCount != 1) {
			err = fmt.Errorf("pod %s, ready %v, restarts %d", p.UID, world.PodReady(*p), p.Status.ContainerStatuses[0].RestartCount)
		}
		return err
	})
}

func TestAPodDeletedWhileItsBaseIsAway(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController("STALE_AFTER=12s", "LIST_INTERVAL=2s")
	w.AwaitNodesReady(1)
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.AwaitReady("stock")
	w.Must(w.Fleet.Do("base-0001", "silence"))
	w.DeletePod("stock", 0)
	w.AwaitGone("stock", 5*time.Second)
	w.Must(w.Fleet.Do("base-0001", "resume"))
	w.AwaitServing("base-0001")
	counts, err := w.Fleet.Counts()
	w.Must(err)
	if counts.Installs != 1 || counts.Uninstalls != 1 {
		t.Errorf("installs %d, uninstalls %d, want one of each", counts.Installs, counts.Uninstalls)
	}
}

func TestAnUnmanagedModuleIsReported(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController("QUIET_LIST_INTERVAL=8s")
	w.AwaitNodesReady(1)
	w.Must(w.Fleet.Post("/bases/base-0001/install", map[string]any{"bizName": "unmanaged", "bizVersion": "1", "bizUrl": world.Jar("unmanaged", "1")}))
	w.AwaitNodeEvent("base-0001", "UnmanagedModule")
	w.AwaitServing("base-0001", "unmanaged:1")
}
