package plan

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestInvalidPodsSayWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   string
	}{
		"no version":     {func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil }, EnvVersion},
		"scheme":         {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://host/x.jar" }, "https://"},
		"secret":         {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://u:hidden@host/x.jar" }, "xxxxx"},
		"long":           {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "http://h/" + strings.Repeat("a", 4096) }, "2048"},
		"control":        {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "http://h/\r\nX: y" }, "control"},
		"too many":       {func(p *corev1.Pod) { p.Spec.Containers = make([]corev1.Container, 1000) }, "64"},
		"init container": {func(p *corev1.Pod) { p.Spec.InitContainers = make([]corev1.Container, 1) }, "init"},
		"twice":          {func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) }, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(overMQTT)
			pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
			c.change(pod)
			s.rounds(5)
			s.wantLog(t)
			w := pod.Status.ContainerStatuses[0].State.Waiting
			if w == nil || w.Reason != ReasonInvalid || !strings.Contains(w.Message, c.want) || strings.Contains(w.Message, "hidden") {
				t.Errorf("waiting %+v, want %q in it", w, c.want)
			}
			s.delete("p")
			s.rounds(3)
			s.want(t, map[string]string{"p": "gone"}, "")
		})
	}
}
