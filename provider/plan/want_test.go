package plan

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
)

func TestWantOf(t *testing.T) {
	pod := podFor("a", "orders:1", ran("file:///old.jar"))
	pod.Annotations = map[string]string{AnnotationReplace: ReplaceAtOnce}
	c := &pod.Spec.Containers[0]
	c.Env = append(c.Env, corev1.EnvVar{Name: "DB", Value: "main"})
	c.Args = []string{"--db=$(DB)"}
	w := wantOf(pod, moduleSpecOf(*c))
	if d := cmp.Diff(map[string]string{"DB": "main"}, w.env); d != "" {
		t.Errorf("env (-want +got):\n%s", d)
	}
	if d := cmp.Diff([]string{"--db=main"}, w.args); d != "" {
		t.Errorf("args (-want +got):\n%s", d)
	}
	if w.key != module("orders:1") || w.url != urlOf("orders", "1") || w.running != "file:///old.jar" || !w.atOnce() {
		t.Errorf("want %+v", w)
	}
	plain := podFor("b", "orders:1")
	if w := wantOf(plain, moduleSpecOf(plain.Spec.Containers[0])); w.env != nil || w.args != nil || w.running != "" || w.atOnce() {
		t.Errorf("want %+v", w)
	}
}
