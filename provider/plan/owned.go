package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
)

// What of a pod's status is the planner's. Whatever else stands there is somebody else's:
// it is neither read as ours nor written back.

// OwnedConditions are the pod conditions that the planner sets. Beside them it sets
// PodScheduled on a pod that has none, for one that was bound past the scheduler.
var OwnedConditions = []corev1.PodConditionType{
	corev1.PodReadyToStartContainers, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady,
}

// OwnedFields are the fields of a pod's status that the planner sets beside conditions, as
// they are named in JSON. Each may become absent again, but startTime and
// observedGeneration.
var OwnedFields = []string{
	"phase", "reason", "message", "startTime", "observedGeneration", "hostIP", "hostIPs", "podIP", "podIPs",
	"initContainerStatuses", "containerStatuses", "ephemeralContainerStatuses",
}

// owned says whether a condition is one of OwnedConditions.
func owned(kind corev1.PodConditionType) bool {
	return slices.Contains(OwnedConditions, kind)
}

// stamp says in a status of which generation of the pod it tells. It goes with other
// changes only where the API server seems to drop it, for it would be written for ever, and
// for a deletion, which makes a generation.
func stamp(pod Pod, s *corev1.PodStatus) {
	alone := pod.Status.ObservedGeneration > 0 && pod.DeletionTimestamp == nil
	switch {
	case !ofNewest(pod):
		return
	case !alone && equality.Semantic.DeepEqual(pod.Status, *s):
		return
	}
	s.ObservedGeneration = pod.Generation
	for i := range s.Conditions {
		if c := &s.Conditions[i]; owned(c.Type) {
			c.ObservedGeneration = pod.Generation
		}
	}
}

// ofNewest says whether what is planned for a pod is what its newest generation asks for:
// the spec that was handed over may be older. Its images are what can change of a module.
func ofNewest(pod Pod) bool {
	switch {
	case pod.Generation == 0:
		return false
	case pod.Declared == nil:
		return true
	case len(pod.Declared.Containers) != len(pod.Spec.Containers):
		return false
	}
	for i, c := range pod.Declared.Containers {
		if c.Image != pod.Spec.Containers[i].Image {
			return false
		}
	}
	return true
}
