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
		"no version": {func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil }, EnvVersion},
		"scheme":     {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://host/x.jar" }, "https://"},
		"secret":     {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://u:hidden@host/x.jar" }, "ftp://host/x.jar"},
		"long":       {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "http://h/" + strings.Repeat("a", 9000) }, "8192"},
		"control":    {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "http://h/\r\nX: y" }, "printed"},
		"too many":   {func(p *corev1.Pod) { p.Spec.Containers = make([]corev1.Container, 1000) }, "64"},
		"no module":  {func(p *corev1.Pod) { p.Spec.Containers = []corev1.Container{{Name: "web", Image: "nginx:1.27"}} }, "no container is a module"},
		"twice":      {func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) }, "installed once"},
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
	with := func(version, image string, env ...corev1.EnvVar) corev1.Container {
		return corev1.Container{Name: "orders", Image: image, Env: append([]corev1.EnvVar{{Name: "OTHER", Value: "x"}, {Name: EnvVersion, Value: version}}, env...)}
	}
	name := func(value string) corev1.EnvVar { return corev1.EnvVar{Name: EnvName, Value: value} }
	for _, c := range []struct {
		name      string
		container corev1.Container
		want      string // in the message; empty for no fault
	}{
		{"https", with("1.0.0-beta_2+x", "https://host/x.jar"), ""},
		{"http", with("1", "http://u:p@host/x.jar?q=1"), ""},
		{"file", with("1", "file:///x.jar"), ""},
		{"a signed URL", with("1", "https://host/x.jar?X-Amz-Security-Token="+strings.Repeat("t", 4<<10)), ""},
		{"no version", with("", "file:///x.jar"), "is missing"},
		{"a long version", with(strings.Repeat("1", 129), "file:///x.jar"), "BIZ_VERSION is no version"},
		{"a version with a colon", with("1:2", "file:///x.jar"), "is no version"},
		{"two versions for an annotation", with("1,victim:2", "file:///x.jar"), "is no version"},
		{"a version with a line break", with("1\n2", "file:///x.jar"), "is no version"},
		{"a version that a list would hide", with("password=1", "file:///x.jar"), "is no version"},
		{"the last version counts", with("", "file:///x.jar", corev1.EnvVar{Name: EnvVersion, Value: "1"}), ""},
		{"the last version counts, even where it is empty", with("1", "file:///x.jar", corev1.EnvVar{Name: EnvVersion}), "is missing"},
		{"a name that no container can have", with("1", "file:///x.jar", name("Order_Service.v2")), ""},
		{"a name of letters beyond ASCII", with("1", "file:///x.jar", name("commandé")), ""},
		{"an empty name", with("1", "file:///x.jar", name("")), ""},
		{"a long name", with("1", "file:///x.jar", name(strings.Repeat("n", 129))), "BIZ_NAME is no module's name"},
		{"a name with a colon", with("1", "file:///x.jar", name("a:b")), "is no module's name"},
		{"a name with an invisible letter", with("1", "file:///x.jar", name("a\u200bb")), "is no module's name"},
		{"no image", with("1", ""), "image is missing"},
		{"a long image", with("1", "http://"+strings.Repeat("h", maxURL)), "8199 bytes"},
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
	container := func(word string) corev1.Container { return podFor("x", word).Spec.Containers[0] }
	called := func(c corev1.Container, name string) corev1.Container {
		c.Env = append(c.Env, corev1.EnvVar{Name: EnvName, Value: name})
		return c
	}
	moved := container("moved:1")
	moved.Image = "ftp://host/moved.jar"
	pod := podFor("a", "orders:1")
	pod.Spec.InitContainers = []corev1.Container{container("init:1")}
	pod.Spec.Containers = append(pod.Spec.Containers, container("stock:"), called(container("bills:3"), "Bill_Service"),
		container("bad:1,victim:2"), called(container("worse:1"), "victim:2"), moved, corev1.Container{Name: "bare"})
	want := []tunnel.ModuleKey{module("orders:1"), module("Bill_Service:3"), module("moved:1")}
	if d := cmp.Diff(want, Wanted(pod.Pod)); d != "" {
		t.Errorf("wanted (-want +got):\n%s", d)
	}
}

// A module is named as its pod says: it is installed, judged and uninstalled by that name.
func TestModulesHaveNamesOfTheirOwn(t *testing.T) {
	s := newSim(overMQTT)
	url := urlOf("Order_Service", "1")
	s.jar(url, "Order_Service", "1", "")
	pod := s.pod("p", "orders", "1", url)
	pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: EnvName, Value: "Order_Service"})
	s.rounds(5)
	s.want(t, map[string]string{"p": "Running"}, "Order_Service:1")
	if id := pod.Status.ContainerStatuses[0].ContainerID; !strings.Contains(id, "/Order_Service:1") {
		t.Errorf("container id %s", id)
	}
	s.delete("p")
	s.rounds(5)
	s.want(t, map[string]string{"p": "gone"}, "")
	s.wantLog(t, "install Order_Service:1", "uninstall Order_Service:1")
}

// What a module is told has a size that a base reads, however it is made.
func TestSettingsAreBounded(t *testing.T) {
	with := func(value string, args ...string) moduleSpec {
		c := podFor("p", "orders:1").Spec.Containers[0]
		c.Env, c.Args = append(c.Env, corev1.EnvVar{Name: "A", Value: value}), args
		return moduleSpecOf(c)
	}
	many := strings.Repeat("$(A)", 100_000)
	for name, c := range map[string]struct {
		spec moduleSpec
		ok   bool
	}{
		"as many as there may be":        {with(strings.Repeat("a", maxSettings-1)), true},
		"one more":                       {with(strings.Repeat("a", maxSettings)), false},
		"an argument makes it more":      {with(strings.Repeat("a", maxSettings-1), "x"), false},
		"arguments that grow":            {with(strings.Repeat("a", 1000), many), false},
		"arguments that grow, each":      {with(strings.Repeat("a", 1000), strings.Fields(strings.ReplaceAll(many, "$", " $"))...), false},
		"arguments of unclosed brackets": {with("a", strings.Repeat("$(", 100_000)), true},
	} {
		if got := c.spec.invalid == ""; got != c.ok {
			t.Errorf("%s: %q", name, c.spec.invalid)
		}
		if n := len(strings.Join(c.spec.args, "")); n > maxSettings+2000 {
			t.Errorf("%s: %d bytes were made", name, n)
		}
	}
}
