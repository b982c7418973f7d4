package plan

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Displaced gives the pods on a base whose Pod is being deleted that are to be made anew
// elsewhere, now and not when the base is gone: as kubectl drain has it, those with a controller
// that makes another one and is no DaemonSet's. They are deleted with their own grace.
//
// None are before the Node has the taint that keeps the next ones away. A pod that came since
// the Node is not ready tolerates such a base, as its successor would, and stays.
func Displaced(node *corev1.Node, pods []Pod) (displaced []*corev1.Pod) {
	since, shunned := shunnedSince(node)
	if !shunned {
		return nil
	}
	for _, p := range pods {
		if replaced(p) && !p.CreationTimestamp.After(since) {
			displaced = append(displaced, p.Pod)
		}
	}
	return displaced
}

// shunnedSince says since when a Node is not ready, if the scheduler knows that.
func shunnedSince(node *corev1.Node) (since time.Time, shunned bool) {
	if node == nil || !slices.ContainsFunc(node.Spec.Taints, keepsAway) {
		return time.Time{}, false
	}
	for _, c := range node.Status.Conditions {
		if c.Type == corev1.NodeReady && c.Status == corev1.ConditionFalse {
			return c.LastTransitionTime.Time, true
		}
	}
	return time.Time{}, false
}

// keepsAway says of a taint that it is Kubernetes' own of a Node that is not ready.
func keepsAway(t corev1.Taint) bool {
	return t.MatchTaint(&corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
}

// replaced says of a live pod that another one is made where it is deleted, which the scheduler
// may place elsewhere.
func replaced(p Pod) bool {
	of := metav1.GetControllerOf(p.Pod)
	switch {
	case p.Terminating(), terminal(p), of == nil:
		return false
	}
	return of.Kind != "DaemonSet"
}
