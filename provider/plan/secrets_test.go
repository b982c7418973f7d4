package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

// secretly is a pod whose environment refers to a Secret.
func secretly(p *Pod) { p.Secrets = true }

// A pod with Secrets waits on a base that is not proved to be it, and where the policy
// forbids it on one that is reached over plain HTTP. A module that serves already serves on.
func TestSecretsLeaveOnlyToABaseThatIsProved(t *testing.T) {
	for _, c := range []struct {
		name            string
		pod             Pod
		bound, readable bool
		policy          SecretsPolicy
		listed          []string
		want            string // why the container waits; empty where it does not
	}{
		{"no Secrets", podFor("a", "orders:1"), false, true, SecretsForbid, nil, ReasonInstalling},
		{"not proved", podFor("a", "orders:1", secretly), false, false, SecretsAllow, nil, ReasonNotBound},
		{"proved, on topics", podFor("a", "orders:1", secretly), true, false, SecretsForbid, nil, ReasonInstalling},
		{"proved, over plain HTTP", podFor("a", "orders:1", secretly), true, true, "", nil, ReasonInstalling},
		{"proved, over plain HTTP, and forbidden", podFor("a", "orders:1", secretly), true, true, SecretsForbid, nil, ReasonNeedsEncryption},
		{"not proved, but it serves", podFor("a", "orders:1", secretly, ran(urlOf("orders", "1"))), false, true, SecretsAllow, []string{"orders:1 activated"}, ""},
		{"its Secret is missing", podFor("a", "orders:1", secretly, noSecret), false, true, SecretsAllow, nil, ReasonConfigError},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.listed...).with(c.pod)
			in.Bound, in.Readable, in.Config.SecretsOverHTTP = c.bound, c.readable, c.policy
			out := Modules(in)
			if sent := len(out.Commands) > 0; sent != (c.want == ReasonInstalling) {
				t.Errorf("sent: %+v", out.Commands)
			}
			status := out.Statuses[0].Status.ContainerStatuses[0]
			if got := waitsFor(&status); got != c.want {
				t.Errorf("it waits for %q, want %q", got, c.want)
			}
			if w := status.State.Waiting; w != nil && c.want != ReasonInstalling && !strings.ContainsAny(w.Message, ":") && c.want != ReasonConfigError {
				t.Errorf("nothing says what to do: %q", w.Message)
			}
		})
	}
}

func TestWhichPodsReferToSecrets(t *testing.T) {
	secret := corev1.LocalObjectReference{Name: "s"}
	for _, c := range []struct {
		name string
		c    corev1.Container
		want bool
	}{
		{"none", corev1.Container{Env: []corev1.EnvVar{{Name: "A", Value: "b"}}}, false},
		{"a ConfigMap", corev1.Container{
			EnvFrom: []corev1.EnvFromSource{{ConfigMapRef: &corev1.ConfigMapEnvSource{LocalObjectReference: secret}}},
			Env:     []corev1.EnvVar{{ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{LocalObjectReference: secret}}}},
		}, false},
		{"a key", corev1.Container{Env: []corev1.EnvVar{{}, {ValueFrom: &corev1.EnvVarSource{SecretKeyRef: &corev1.SecretKeySelector{LocalObjectReference: secret}}}}}, true},
		{"all keys", corev1.Container{EnvFrom: []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: secret}}}}, true},
	} {
		pod := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{}, c.c}}}
		if got := RefersToSecrets(pod); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}
