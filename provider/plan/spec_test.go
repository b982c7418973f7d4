package plan

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

func TestInvalidPodsSayWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   string
	}{
		"no version":     {func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil }, EnvVersion},
		"scheme":         {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://host/x.jar" }, "https://"},
		"secret":         {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://u:hidden@host/x.jar" }, "ftp://host/x.jar"},
		"long":           {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "http://h/" + strings.Repeat("a", 4096) }, "2048"},
		"control":        {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "http://h/\r\nX: y" }, "printed"},
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

func TestCheckContainer(t *testing.T) {
	with := func(version, image string) corev1.Container {
		return corev1.Container{Name: "orders", Image: image, Env: []corev1.EnvVar{{Name: "OTHER", Value: "x"}, {Name: EnvVersion, Value: version}}}
	}
	for _, c := range []struct {
		name      string
		container corev1.Container
		want      string // in the message; empty for no fault
	}{
		{"https", with("1.0.0-beta_2+x", "https://host/x.jar"), ""},
		{"http", with("1", "http://u:p@host/x.jar?q=1"), ""},
		{"file", with("1", "file:///x.jar"), ""},
		{"no version", with("", "file:///x.jar"), "is missing"},
		{"a long version", with(strings.Repeat("1", 129), "file:///x.jar"), "is no version"},
		{"a version with a colon", with("1:2", "file:///x.jar"), "is no version"},
		{"a version with a line break", with("1\n2", "file:///x.jar"), "is no version"},
		{"no image", with("1", ""), "image is missing"},
		{"a long image", with("1", "http://"+strings.Repeat("h", maxURL)), "2055 bytes"},
		{"an image with a tab", with("1", "file:///x\t.jar"), "cannot be printed"},
		{"an image of a registry", with("1", "nginx:1.27"), "is no URL"},
		{"no URL at all", with("1", "%zz"), "is no URL"},
	} {
		got := checkContainer(c.container)
		if c.want == "" && got != "" || !strings.Contains(got, c.want) {
			t.Errorf("%s: %q, want %q in it", c.name, got, c.want)
		}
	}
}

func TestWanted(t *testing.T) {
	pod := podFor("a", "orders:1")
	pod.Spec.Containers = append(pod.Spec.Containers, podFor("b", "stock:").Spec.Containers[0], podFor("c", "bills:3").Spec.Containers[0], corev1.Container{Name: "bare"})
	if d := cmp.Diff([]tunnel.ModuleKey{module("orders:1"), module("bills:3")}, Wanted(pod.Pod)); d != "" {
		t.Errorf("wanted (-want +got):\n%s", d)
	}
}
