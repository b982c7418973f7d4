package agent

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// fieldRef is a variable that shows a field of the pod.
func fieldRef(name, path string) corev1.EnvVar {
	return corev1.EnvVar{Name: name, ValueFrom: &corev1.EnvVarSource{FieldRef: &corev1.ObjectFieldSelector{FieldPath: path}}}
}

func podWith(env ...corev1.EnvVar) *corev1.Pod {
	return &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Name: "p", Namespace: "n", UID: "u"},
		Spec: corev1.PodSpec{
			NodeName: "machine", ServiceAccountName: "account", RestartPolicy: corev1.RestartPolicyAlways,
			Containers: []corev1.Container{{Name: "c", Env: env}},
		},
	}
}

func TestEnvironment(t *testing.T) {
	t.Setenv("PATH", "/bin")
	pod := podWith(
		corev1.EnvVar{Name: "PLAIN", Value: "x"},
		corev1.EnvVar{Name: "BUILT", Value: "$(PLAIN)-$(POD)-$(LATER)-$$(PLAIN)"}, // LATER is not known yet
		fieldRef("POD", "metadata.name"),
		corev1.EnvVar{Name: "LATER", Value: "$(POD).$(PORT)"},
		fieldRef("NAMESPACE", "metadata.namespace"), fieldRef("UID", "metadata.uid"), fieldRef("NODE", "spec.nodeName"),
		fieldRef("ACCOUNT", "spec.serviceAccountName"), fieldRef("IP", "status.podIP"), fieldRef("HOST", "status.hostIP"),
		corev1.EnvVar{Name: "PORT", Value: "1"},
	)
	got, err := environment(pod, map[string]string{"PORT": "2"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"PATH": "/bin", "HOME": "/", "PORT": "2", "PLAIN": "x", "BUILT": "x-$(POD)-$(LATER)-$(PLAIN)", "POD": "p", "LATER": "p.2",
		"NAMESPACE": "n", "UID": "u", "NODE": "machine", "ACCOUNT": "account", "IP": "127.0.0.1", "HOST": "127.0.0.1",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func TestUnsupported(t *testing.T) {
	get := func(scheme corev1.URIScheme) *corev1.Probe {
		return &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Scheme: scheme}}}
	}
	for name, c := range map[string]struct {
		change func(*corev1.PodSpec, *corev1.Container)
		want   string // part of the error; empty: supported
	}{
		"as it is":         {func(*corev1.PodSpec, *corev1.Container) {}, ""},
		"an HTTP probe":    {func(_ *corev1.PodSpec, c *corev1.Container) { c.ReadinessProbe = get(corev1.URISchemeHTTP) }, ""},
		"two containers":   {func(s *corev1.PodSpec, _ *corev1.Container) { s.Containers = append(s.Containers, corev1.Container{}) }, "one container"},
		"init containers":  {func(s *corev1.PodSpec, _ *corev1.Container) { s.InitContainers = make([]corev1.Container, 1) }, "one container"},
		"restart policy":   {func(s *corev1.PodSpec, _ *corev1.Container) { s.RestartPolicy = corev1.RestartPolicyNever }, "restartPolicy"},
		"readiness gates":  {func(s *corev1.PodSpec, _ *corev1.Container) { s.ReadinessGates = make([]corev1.PodReadinessGate, 1) }, "readiness gates"},
		"a startup probe":  {func(_ *corev1.PodSpec, c *corev1.Container) { c.StartupProbe = get("") }, "startup probe"},
		"a lifecycle hook": {func(_ *corev1.PodSpec, c *corev1.Container) { c.Lifecycle = &corev1.Lifecycle{} }, "lifecycle hook"},
		"envFrom":          {func(_ *corev1.PodSpec, c *corev1.Container) { c.EnvFrom = make([]corev1.EnvFromSource, 1) }, "envFrom"},
		"an HTTPS probe":   {func(_ *corev1.PodSpec, c *corev1.Container) { c.LivenessProbe = get(corev1.URISchemeHTTPS) }, "probes by HTTP"},
		"an exec probe":    {func(_ *corev1.PodSpec, c *corev1.Container) { c.LivenessProbe = &corev1.Probe{} }, "probes by HTTP"},
		"a ConfigMap": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Env = []corev1.EnvVar{{Name: "X", ValueFrom: &corev1.EnvVarSource{ConfigMapKeyRef: &corev1.ConfigMapKeySelector{}}}}
		}, "variable X"},
		"an unknown field": {func(_ *corev1.PodSpec, c *corev1.Container) {
			c.Env = []corev1.EnvVar{fieldRef("X", "metadata.labels")}
		}, "fieldRef metadata.labels"},
	} {
		t.Run(name, func(t *testing.T) {
			pod := podWith()
			c.change(&pod.Spec, &pod.Spec.Containers[0])
			err := unsupported(pod)
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want one with %q", err, c.want)
			}
		})
	}
}

// A port that is moved is found where the environment says, another where the manifest
// does; a probe asks there, by name or by number.
func TestPortsAndProbes(t *testing.T) {
	a := &Agent{o: Options{Ports: map[string]string{"health": "LISTEN=127.0.0.1:%d"}}}
	c := corev1.Container{Ports: []corev1.ContainerPort{{Name: "health", ContainerPort: 8080}, {Name: "other", ContainerPort: 9090}}}
	pod := podWith()
	pod.Spec.Containers[0].Ports = c.Ports
	over, err := a.overrides(pod)
	if err != nil {
		t.Fatal(err)
	}
	ports, err := a.portsOf(c, over)
	if err != nil {
		t.Fatal(err)
	}
	if ports["health"] == 8080 || ports["health"] == 0 || ports["other"] != 9090 {
		t.Errorf("ports %v", ports)
	}
	ports["health"] = 1234
	for port, want := range map[intstr.IntOrString]string{
		intstr.FromString("health"): "http://127.0.0.1:1234/x", intstr.FromInt32(8080): "http://127.0.0.1:1234/x",
		intstr.FromString("other"): "http://127.0.0.1:9090/x", intstr.FromInt32(7): "http://127.0.0.1:7/x",
	} {
		if got, err := probeURL(&corev1.HTTPGetAction{Path: "/x", Port: port}, c, ports); err != nil || got != want {
			t.Errorf("a probe of port %s asks %s (%v), want %s", port.String(), got, err, want)
		}
	}
	if url, err := probeURL(&corev1.HTTPGetAction{Port: intstr.FromString("none")}, c, ports); err == nil {
		t.Errorf("a probe of an unknown port asks %s", url)
	}
	if _, err := a.portsOf(c, map[string]string{"LISTEN": "nowhere"}); err == nil {
		t.Error("a port was found in a variable that has none")
	}
}
