package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// A base that is not ready has no ready pods: Services, disruption budgets and rollouts go
// by them. Kubernetes does that only for a Node that it finds out itself to be gone, and
// the owner of a base goes on renewing its Node's Lease.
//
// As the node lifecycle controller does, only the pod's conditions say so. Its containers
// keep their state, readiness included: that is what was last known of them, and it costs
// no restart and no new start when the base is back.

// messageBaseNotReady stands beside the reason that the Node shows, and tells these
// conditions from others.
const messageBaseNotReady = "the base is not ready: its Node says why"

// unlessNotReady is a condition of readiness as it is shown while the base is not ready, for
// a reason that is empty while it is. One that is false for a reason of the pod's own keeps
// that.
func unlessNotReady(c corev1.PodCondition, notReady string) corev1.PodCondition {
	switch {
	case notReady == "":
	case c.Status == corev1.ConditionTrue, c.Message == messageBaseNotReady:
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, notReady, messageBaseNotReady
	}
	return c
}

// kept is what a pod shows of which nobody knows better.
func (r reporter) kept(pod Pod) corev1.PodStatus {
	s := pod.Status
	s.Conditions = slices.Clone(s.Conditions)
	for _, c := range pod.Status.Conditions {
		switch c.Type {
		case corev1.PodReady, corev1.ContainersReady:
			setPodCondition(&s, unlessNotReady(c, r.in.NotReady), r.in.Now)
		default: // it says nothing of readiness
		}
	}
	return s
}
