package plan

import (
	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// Wanted gives the modules that a pod's containers name. A container without a
// version names none.
func Wanted(pod *corev1.Pod) []tunnel.ModuleKey {
	var keys []tunnel.ModuleKey
	for _, c := range pod.Spec.Containers {
		for _, e := range c.Env {
			if e.Name == EnvVersion && e.Value != "" {
				keys = append(keys, tunnel.ModuleKey{Name: c.Name, Version: e.Value})
				break
			}
		}
	}
	return keys
}
