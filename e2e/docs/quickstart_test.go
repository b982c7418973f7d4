package docs

import (
	"slices"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const quickStart = "docs/quickstart.md"

// From an empty control plane to a Ready module by the page's commands alone.
func TestTheQuickStart(t *testing.T) {
	m := newMachine(t, nil)
	for _, c := range read(t, quickStart) {
		for _, b := range c.blocks {
			switch b.language {
			case "sh":
				m.run(t, c, b)
			case "properties": // of a base: it is started, and the page goes on when it has its Node
				m.startBases(t.Context(), propertyOf(t, b.text, "koupleless.arklet.metadata.name"))
				m.awaitBases(t)
			default:
				t.Errorf("%s:%d: nothing is known to do with %s", c.page(), b.line, b.language)
			}
		}
	}
	if m.fleet == nil {
		t.Fatal("the page starts no base")
	}
	pods, err := m.client.CoreV1().Pods("default").List(t.Context(), metav1.ListOptions{LabelSelector: "app=orders"})
	m.must(err)
	if len(pods.Items) != 1 || !slices.ContainsFunc(pods.Items[0].Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	}) {
		t.Fatalf("the module is not Ready: %+v", pods.Items)
	}
	identity := strings.Split(pods.Items[0].Spec.NodeName, ".")[1]
	if serving, err := m.fleet.Serving(identity); err != nil || !slices.Equal(serving, []string{"orders:1.0.0"}) {
		t.Errorf("base %s serves %v (%v)", identity, serving, err)
	}
}

// propertyOf gives the value of a Java property.
func propertyOf(t *testing.T, text, name string) string {
	t.Helper()
	for line := range strings.Lines(text) {
		if value, is := strings.CutPrefix(line, name+"="); is {
			return strings.TrimSpace(value)
		}
	}
	t.Fatalf("the base has no property %s", name)
	return ""
}
