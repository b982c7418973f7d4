package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// Serves says whether a base lists every module of a pod as serving. The pod's environment is
// resolved.
func Serves(pod *corev1.Pod, listed []tunnel.Module) bool {
	modules := 0
	for _, c := range pod.Spec.Containers {
		if !isModule(c) {
			continue
		}
		modules++
		key := keyOf(c)
		if !slices.ContainsFunc(listed, func(m tunnel.Module) bool { return m.ModuleKey == key && m.State == tunnel.Activated }) {
			return false
		}
	}
	return modules > 0
}
