package plan

import (
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A container that is no module was mostly put into the pod by an injector. A base cannot
// run it, and it keeps no module from running: it shows that it ended well without having
// run, so that the pod counts as initialized and its containers as ready, and an Event
// tells of it.

// messageNotRun is what such a container shows, beside the reason of one that ended well:
// another one would be taken for the pod's by kubectl.
const (
	reasonNotRun  = "Completed"
	messageNotRun = "not run: a base runs modules only"
)

// notRun is the status of a container that is no module, beside the one that it has.
func notRun(name, image string, was []corev1.ContainerStatus, at metav1.Time) corev1.ContainerStatus {
	if s := named(was, name); s != nil && s.State.Terminated != nil && s.Image == image {
		return *s.DeepCopy()
	}
	return corev1.ContainerStatus{
		Name: name, Image: image, Ready: true, Started: new(bool),
		State: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: reasonNotRun, Message: messageNotRun, StartedAt: at, FinishedAt: at,
		}},
	}
}

// named is the status of a container; nil where it has none.
func named(statuses []corev1.ContainerStatus, name string) *corev1.ContainerStatus {
	for i := range statuses {
		if statuses[i].Name == name {
			return &statuses[i]
		}
	}
	return nil
}

// optOuts tell, by how the names of their containers begin, how injectors are told to leave
// a pod alone.
var optOuts = []struct{ container, how string }{
	{"istio-", `label sidecar.istio.io/inject: "false"`},
	{"linkerd-", "annotation linkerd.io/inject: disabled"},
	{"vault-agent", `annotation vault.hashicorp.com/agent-inject: "false"`},
	{"consul-", `annotation consul.hashicorp.com/connect-inject: "false"`},
	{"kuma-", "label kuma.io/sidecar-injection: disabled"},
	{"daprd", `annotation dapr.io/enabled: "false"`},
	{"opentelemetry-auto-instrumentation", `annotation instrumentation.opentelemetry.io/inject-java: "false"`},
}

// foreigners are the containers of a pod that are not run, those that initialize it first.
// A pod that has no module has none of the others: each of them shows what is wrong with it.
func foreigners(spec *corev1.PodSpec) (names []string) {
	for _, c := range spec.InitContainers {
		names = append(names, c.Name)
	}
	if !slices.ContainsFunc(spec.Containers, isModule) {
		return names
	}
	for _, c := range spec.Containers {
		if !isModule(c) {
			names = append(names, c.Name)
		}
	}
	return names
}

// keepOut tells how containers of these names are kept out of a pod, where their injectors
// are known; empty where none is.
func keepOut(names []string) string {
	var hows []string
	for _, o := range optOuts {
		if slices.ContainsFunc(names, func(name string) bool { return strings.HasPrefix(name, o.container) }) {
			hows = append(hows, o.how)
		}
	}
	return strings.Join(hows, ", ")
}
