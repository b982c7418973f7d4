package pods

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// What environments refer to of a pod's addresses is its base's address.
func TestEnvironmentsMayReferToAddresses(t *testing.T) {
	pod := podOn("one", "a", "1")
	field := func(path string) *corev1.EnvVarSource {
		return &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}
	}
	pod.Spec.Containers = []corev1.Container{{Name: "orders", Env: []corev1.EnvVar{
		{Name: "POD_IP", ValueFrom: field("status.podIP")}, {Name: "HOST_IP", ValueFrom: field("status.hostIP")},
		{Name: "NAME", ValueFrom: field("metadata.name")}, {Name: "PLAIN", Value: "x"},
	}}}
	env := withAddress(pod, "192.0.2.9").Spec.Containers[0].Env
	if env[0].Value != "192.0.2.9" || env[0].ValueFrom != nil || env[1].Value != "192.0.2.9" || env[2].ValueFrom == nil || env[3].Value != "x" {
		t.Errorf("environment %+v", env)
	}
	if pod.Spec.Containers[0].Env[0].ValueFrom == nil {
		t.Error("the cached pod was changed")
	}
	if env := withAddress(pod, "").Spec.Containers[0].Env; env[0].ValueFrom == nil {
		t.Errorf("without an address: %+v", env)
	}
}
