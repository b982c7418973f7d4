package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// A base that is not ready has no ready pods: Services, disruption budgets and rollouts go
// by them. Kubernetes does that only for a Node that it finds out itself to be gone, and
// the owner of a base goes on renewing its Node's Lease.

// messageBaseNotReady stands beside the reason that the Node shows, and tells these
// conditions from others.
const messageBaseNotReady = "the base is not ready: its Node says why"

// kept is what a pod shows of which nobody knows better. While the base is not ready the
// pod is not: as the node lifecycle controller does, only the pod's conditions say so. Its
// containers keep their state, readiness included: that is what was last known of them,
// and it costs no restart and no new start when the base is back.
func (r reporter) kept(pod Pod) corev1.PodStatus {
	s := pod.Status
	if r.in.NotReady == "" {
		return s
	}
	s.Conditions = slices.Clone(s.Conditions)
	for _, c := range pod.Status.Conditions {
		if unreadied(c) {
			setPodCondition(&s, corev1.PodCondition{Type: c.Type, Status: corev1.ConditionFalse, Reason: r.in.NotReady, Message: messageBaseNotReady}, r.in.Now)
		}
	}
	return s
}

// unreadied says of a condition that it is, or was made, false by a base that is not ready.
// One that is false for a reason of the pod's own keeps that.
func unreadied(c corev1.PodCondition) bool {
	switch c.Type {
	case corev1.PodReady, corev1.ContainersReady:
		return c.Status == corev1.ConditionTrue || c.Message == messageBaseNotReady
	default:
		return false
	}
}
