package fleet

import (
	corev1 "k8s.io/api/core/v1"
)

// Setting is what the controller's pods are told by a variable of their environment: the
// value, and whether it stands there. What a flag, a file or a ConfigMap says is not known.
func (s *Snapshot) Setting(name string) (value string, told bool) {
	for i := range s.Replicas {
		if value, told := settingOf(&s.Replicas[i], name); told {
			return value, true
		}
	}
	return "", false
}

func settingOf(pod *corev1.Pod, name string) (value string, told bool) {
	for _, c := range pod.Spec.Containers {
		for _, e := range c.Env {
			if e.Name == name && e.ValueFrom == nil {
				return e.Value, true
			}
		}
	}
	return "", false
}
