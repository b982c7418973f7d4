package suite

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	policyv1 "k8s.io/api/policy/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"

	"module-controller/e2e/world"
)

// The pods of a base that is silent, or whose process was killed, are not ready as soon as
// its Node is not: its Deployment and a budget count one pod less. Once the base is heard
// again all is as before, with the same pods.
func TestADeadBaseCountsForNobody(t *testing.T) {
	t.Parallel()
	const pods = 2
	settings := []string{"STALE_AFTER=4s", "LIST_INTERVAL=1s"}
	fleetOnEachTunnel(t, pods, settings, func(w *world.World) {
		w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), pods, world.Spread)
		w.AwaitPodsReady("app=stock", pods)
		createBudget(w, "stock", 1)
		w.Eventually(world.Timeout, func() error { return counted(w, pods) })
		before := world.ReadySince(w.Pods("app=stock"))
		for _, c := range []struct{ base, end, back string }{
			{world.BaseID(1), "silence", "resume"},
			{world.BaseID(2), "stop", "start"},
		} {
			await := watchEnd(w, c.base, "BaseSilent")
			w.Must(w.Fleet.Do(c.base, c.end))
			pod, node := await()
			w.Logf("%s: the pod was not ready %s after its Node", c.end, pod.Sub(node).Round(time.Millisecond))
			if pod.Sub(node) > 2*time.Second {
				w.Errorf("%s: the pod was seen not to be ready %s after its Node", c.end, pod.Sub(node))
			}
			w.Eventually(world.Timeout, func() error { return counted(w, pods-1) })
			w.Must(w.Fleet.Do(c.base, c.back))
			w.AwaitNodesReady(pods)
			w.AwaitPodsReady("app=stock", pods)
			w.Eventually(world.Timeout, func() error { return counted(w, pods) })
		}
		for uid := range world.ReadySince(w.Pods("app=stock")) {
			if before[uid] == "" {
				w.Errorf("pod %s was not there before", uid)
			}
		}
	})
}

// createBudget creates a budget for the pods of an app, of which so many must be available.
func createBudget(w *world.World, app string, least int) {
	w.Helper()
	n := intstr.FromInt(least)
	_, err := cluster.Client.PolicyV1().PodDisruptionBudgets(w.Env).Create(w.Context(), &policyv1.PodDisruptionBudget{
		ObjectMeta: metav1.ObjectMeta{Name: app},
		Spec:       policyv1.PodDisruptionBudgetSpec{MinAvailable: &n, Selector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": app}}},
	}, metav1.CreateOptions{})
	w.Must(err)
}

// counted says whether the Deployment stock counts so many pods as available, and its budget,
// which wants one, lets all others go.
func counted(w *world.World, pods int32) error {
	d, err := cluster.Client.AppsV1().Deployments(w.Env).Get(w.Context(), "stock", metav1.GetOptions{})
	if err != nil {
		return err
	}
	b, err := cluster.Client.PolicyV1().PodDisruptionBudgets(w.Env).Get(w.Context(), "stock", metav1.GetOptions{})
	if err == nil && (d.Status.AvailableReplicas != pods || b.Status.CurrentHealthy != pods || b.Status.DisruptionsAllowed != pods-1) {
		err = fmt.Errorf("%d available, %d healthy, of which %d may go", d.Status.AvailableReplicas, b.Status.CurrentHealthy, b.Status.DisruptionsAllowed)
	}
	return err
}

// watchEnd begins to watch a base's Node and the pod on it. The function that it gives waits
// until both are not ready for a reason, and says when that was seen of each.
func watchEnd(w *world.World, identity, reason string) (await func() (pod, node time.Time)) {
	w.Helper()
	name := w.NodeName(identity)
	nodes, err := cluster.Client.CoreV1().Nodes().Watch(w.Context(), metav1.ListOptions{FieldSelector: "metadata.name=" + name})
	w.Must(err)
	pods, err := cluster.Client.CoreV1().Pods(w.Env).Watch(w.Context(), metav1.ListOptions{FieldSelector: "spec.nodeName=" + name})
	w.Must(err)
	return func() (pod, node time.Time) {
		w.Helper()
		defer nodes.Stop()
		defer pods.Stop()
		ctx, cancel := context.WithTimeout(w.Context(), world.Timeout)
		defer cancel()
		for pod.IsZero() || node.IsZero() {
			select {
			case e := <-nodes.ResultChan():
				note(&node, nodeShows(e.Object, reason))
			case e := <-pods.ResultChan():
				note(&pod, podShows(e.Object, reason))
			case <-ctx.Done():
				w.Fatalf("not ready for %s: the Node at %v, the pod at %v", reason, node, pod)
			}
		}
		return pod, node
	}
}

// note notes when something was so for the first time.
func note(at *time.Time, is bool) {
	if is && at.IsZero() {
		*at = time.Now()
	}
}

// nodeShows says whether an object is a Node that is not ready for a reason.
func nodeShows(object runtime.Object, reason string) bool {
	n, ok := object.(*corev1.Node)
	return ok && slices.ContainsFunc(n.Status.Conditions, func(c corev1.NodeCondition) bool {
		return c.Type == corev1.NodeReady && c.Status == corev1.ConditionFalse && c.Reason == reason
	})
}

// podShows says whether an object is a pod that is not ready for a reason.
func podShows(object runtime.Object, reason string) bool {
	p, ok := object.(*corev1.Pod)
	return ok && slices.ContainsFunc(p.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionFalse && c.Reason == reason
	})
}
