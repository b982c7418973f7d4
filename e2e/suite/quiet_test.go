package suite

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/world"
)

// Bases whose runtime sends no heartbeats are found by their Pods, which tell more of them:
// what they are, where they run, and that they end. The Node of one whose Pod is deleted is
// NotReady within 2 s, and its modules are elsewhere within a minute after the Pod has ended.
func TestBasesAreFoundByTheirPods(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP()
	machine := "machine-" + w.Env
	_, err := cluster.Client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: machine, Labels: map[string]string{corev1.LabelTopologyZone: "zone-a"},
	}}, metav1.CreateOptions{})
	w.Must(err)
	t.Cleanup(func() {
		w.Must(world.IgnoreNotFound(cluster.Client.CoreV1().Nodes().Delete(context.Background(), machine, metav1.DeleteOptions{})))
	})
	pods := map[string]string{}
	w.WithQuietFleet(2, func(base int, p *corev1.Pod) {
		pods[world.BaseID(base)] = p.Name
		p.Spec.NodeName = machine // its kubelet, which would end Pods, is not there
		p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		p.Labels["base.koupleless.io/name"] = "shop"
	}).WithController("FIND_BASE_PODS=true")
	w.AwaitNodesReady(2)
	for _, n := range w.Nodes() {
		if n.Labels["base.koupleless.io/name"] != "shop" || n.Labels[corev1.LabelTopologyZone] != "zone-a" || n.Annotations["base.koupleless.io/node"] != machine {
			t.Errorf("Node %s has labels %v and annotations %v", n.Name, n.Labels, n.Annotations)
		}
	}
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), 1)
	w.AwaitPodsReady("app=stock", 1)
	was := w.Pods("app=stock")[0]
	rolled := w.BaseOf(was.Spec.NodeName)

	deleted := time.Now()
	w.Must(cluster.Client.CoreV1().Pods(w.Env).Delete(t.Context(), pods[rolled], metav1.DeleteOptions{}))
	w.AwaitNodeReason(rolled, "BasePodDeleted")
	if took := time.Since(deleted); took > 2*time.Second {
		t.Errorf("the Node was NotReady %s after its base's Pod was deleted, want 2 s", took)
	}
	w.Must(w.Fleet.Do(rolled, "stop"))
	ended, now := time.Now(), int64(0)
	w.Must(cluster.Client.CoreV1().Pods(w.Env).Delete(t.Context(), pods[rolled], metav1.DeleteOptions{GracePeriodSeconds: &now}))
	w.Eventually(world.Timeout, func() error {
		for _, p := range w.Pods("app=stock") {
			if p.Spec.NodeName != was.Spec.NodeName && world.PodReady(p) {
				return nil
			}
		}
		return fmt.Errorf("the module serves nowhere else")
	})
	if took := time.Since(ended); took > time.Minute {
		t.Errorf("the module served elsewhere %s after the base's Pod had ended, want a minute", took)
	} else {
		t.Logf("the module served elsewhere %s after the base's Pod had ended", took.Round(time.Millisecond))
	}
	if c := w.Counts(); c.Installs != 2 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want one on each base", c.Installs, c.Uninstalls)
	}
}

// Several replicas find the same bases; each is one's, and a replica that is killed takes
// nothing with it. A base that comes back with its Pod has its modules again.
func TestFoundBasesAmongReplicas(t *testing.T) {
	t.Parallel()
	const bases = 4
	w := cluster.New(t).WithService()
	w.WithQuietFleet(bases, func(int, *corev1.Pod) {})
	w.WithStock(2, bases, "FIND_BASE_PODS=true")
	stop := w.WatchNodes()
	victim := w.Owners()[w.NodeName(world.BaseID(1))].Holder
	w.Must(w.ReplicaOf(victim).Kill())
	w.AwaitOwned(12*time.Second, bases, victim)
	w.CreatePod("late", world.BaseID(1), "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitReady("late")
	if bad := stop(); len(bad) > 0 {
		t.Errorf("nodes turned not ready: %v", bad)
	}
	w.Must(w.Fleet.Do(world.BaseID(2), "restart"))
	w.AwaitServing(world.BaseID(2), "stock:1.0.0")
	w.AwaitPodsReady("app=stock", bases)
	if c := w.Counts(); c.Installs != bases+2 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases+2)
	}
}
