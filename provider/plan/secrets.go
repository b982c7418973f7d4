package plan

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// RefersToSecrets says whether the environment of any of a pod's containers refers to a
// Secret. The pod must be as it was written: where the environment is resolved, what it
// was resolved from is not told.
func RefersToSecrets(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		if slices.ContainsFunc(c.EnvFrom, func(e corev1.EnvFromSource) bool { return e.SecretRef != nil }) {
			return true
		}
		return slices.ContainsFunc(c.Env, func(e corev1.EnvVar) bool { return e.ValueFrom != nil && e.ValueFrom.SecretKeyRef != nil })
	})
}

// withholds says why a pod's Secrets must not leave for this base, and with them the pod;
// zero where they may, or there are none.
func (in Input) withholds(pod Pod) waiting {
	switch {
	case !pod.Secrets:
	case !in.Bound:
		return waiting{ReasonNotBound, "the environment refers to Secrets, and it is not proved who the base is: have it authenticate (HTTP_TUNNEL_AUTH), or run the module without Secrets"}
	case in.Readable && in.Config.SecretsOverHTTP == SecretsForbid:
		return waiting{ReasonNeedsEncryption, "the environment refers to Secrets, and the policy forbids to send them over plain HTTP: reach the base over MQTT with TLS, or run the module without Secrets"}
	}
	return waiting{}
}
