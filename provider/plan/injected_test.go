package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

// sidecar puts a container into a pod that is no module.
func sidecar(name string) func(*Pod) {
	return func(p *Pod) {
		p.Spec.Containers = append([]corev1.Container{{Name: name, Image: "istio/proxyv2:1.30"}}, p.Spec.Containers...)
	}
}

func initContainer(name string) func(*Pod) {
	return func(p *Pod) {
		p.Spec.InitContainers = append(p.Spec.InitContainers, corev1.Container{Name: name, Image: "istio/proxyv2:1.30"})
	}
}

// What an injector put into a pod keeps no module from running, nor the pod from being Ready.
func TestInjectedContainersAreNotRun(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
	injected := Pod{Pod: pod}
	sidecar("istio-proxy")(&injected)
	initContainer("istio-init")(&injected)
	s.round()
	if isTrue(pod.Status, corev1.PodReady) || pod.Status.Phase != corev1.PodPending {
		t.Errorf("it is ready before its module serves: %+v", pod.Status)
	}
	s.rounds(5)
	if got := s.serving(); got != "orders:1" {
		t.Errorf("the base serves %q", got)
	}
	s.wantLog(t, "install orders:1")
	status := pod.Status
	if status.Phase != corev1.PodRunning || !isTrue(status, corev1.PodReady) || !isTrue(status, corev1.PodInitialized) {
		t.Errorf("phase %s, conditions %+v", status.Phase, status.Conditions)
	}
	proxy, begins := status.ContainerStatuses[0], status.InitContainerStatuses[0]
	for _, c := range []corev1.ContainerStatus{proxy, begins} {
		end := c.State.Terminated
		if end == nil || end.ExitCode != 0 || !strings.Contains(end.Message, "not run") || !c.Ready || *c.Started || end.StartedAt.IsZero() {
			t.Errorf("%s shows %+v", c.Name, c)
		}
	}
	if proxy.Name != "istio-proxy" || begins.Name != "istio-init" || status.ContainerStatuses[1].State.Running == nil {
		t.Errorf("statuses %+v", status.ContainerStatuses)
	}
	s.now = s.now.Add(time.Hour)
	s.rounds(2)
	if d := cmp.Diff(status, pod.Status); d != "" {
		t.Errorf("an hour later (-was +is):\n%s", d)
	}
}

func TestForeigners(t *testing.T) {
	bare := podFor("p", "orders:1", initContainer("istio-init"))
	bare.Spec.Containers = []corev1.Container{{Name: "web", Image: "nginx"}}
	for _, c := range []struct {
		name string
		pod  Pod
		want string
	}{
		{"modules only", podFor("p", "orders:1"), ""},
		{"a module without a version is meant as one", podFor("p", "orders:1", func(p *Pod) { p.Spec.Containers[0].Env = nil }), ""},
		{"a module with an image of a registry is", podFor("p", "orders:1", image("nginx")), ""},
		{"a sidecar", podFor("p", "orders:1", sidecar("istio-proxy")), "istio-proxy"},
		{"both kinds", podFor("p", "orders:1", sidecar("linkerd-proxy"), initContainer("linkerd-init")), "linkerd-init linkerd-proxy"},
		{"without any module the others are at fault", bare, "istio-init"},
	} {
		if got := strings.Join(foreigners(&c.pod.Spec), " "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestKeepOut(t *testing.T) {
	for names, want := range map[string]string{
		"web": "", "istio-init istio-proxy": `label sidecar.istio.io/inject: "false"`,
		"vault-agent-init web linkerd-proxy": `annotation linkerd.io/inject: disabled, annotation vault.hashicorp.com/agent-inject: "false"`,
	} {
		if got := keepOut(strings.Fields(names)); got != want {
			t.Errorf("%s: %q, want %q", names, got, want)
		}
	}
}
