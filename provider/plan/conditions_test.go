package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditionsOf are the conditions of a pod whose containers are ready or not.
func conditionsOf(pod Pod, ready ...bool) []corev1.PodCondition {
	s := *pod.Status.DeepCopy()
	for i, is := range ready {
		s.ContainerStatuses = append(s.ContainerStatuses, corev1.ContainerStatus{Name: string(rune('a' + i)), Ready: is})
	}
	setPodConditions(pod.Pod, &s, "", noon)
	return s.Conditions
}

func TestPodConditions(t *testing.T) {
	gated := func(p *Pod) { p.Spec.ReadinessGates = []corev1.PodReadinessGate{{ConditionType: "traffic"}} }
	open := func(p *Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: "traffic", Status: corev1.ConditionTrue}}
	}
	closed := func(p *Pod) {
		p.Status.Conditions = []corev1.PodCondition{{Type: "traffic", Status: corev1.ConditionFalse}}
	}
	for _, c := range []struct {
		name              string
		pod               Pod
		ready             []bool
		containers, isPod string
	}{
		{"ready", podFor("p", "orders:1"), []bool{true, true}, "True  ", "True  "},
		{"one is not", podFor("p", "orders:1"), []bool{true, false, false}, "False ContainersNotReady containers with unready status: [b c]", "False ContainersNotReady containers with unready status: [b c]"},
		{"no containers", podFor("p", "orders:1"), nil, "False ContainersNotReady containers with unready status: []", "False ContainersNotReady containers with unready status: []"},
		{"a gate nobody opened", podFor("p", "orders:1", gated), []bool{true}, "True  ", "False ReadinessGatesNotReady readiness gates that are not met: [traffic]"},
		{"a closed gate", podFor("p", "orders:1", gated, closed), []bool{true}, "True  ", "False ReadinessGatesNotReady readiness gates that are not met: [traffic]"},
		{"an open gate", podFor("p", "orders:1", gated, open), []bool{true}, "True  ", "True  "},
		{"a gate does not hide containers", podFor("p", "orders:1", gated), []bool{false}, "False ContainersNotReady containers with unready status: [a]", "False ContainersNotReady containers with unready status: [a]"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := map[corev1.PodConditionType]string{}
			for _, is := range conditionsOf(c.pod, c.ready...) {
				got[is.Type] = string(is.Status) + " " + is.Reason + " " + is.Message
			}
			delete(got, "traffic")
			want := map[corev1.PodConditionType]string{
				corev1.PodReadyToStartContainers: "True  ", corev1.PodInitialized: "True  ", corev1.PodScheduled: "True  ", corev1.ContainersReady: c.containers, corev1.PodReady: c.isPod,
			}
			if d := cmp.Diff(want, got); d != "" {
				t.Errorf("conditions (-want +got):\n%s", d)
			}
		})
	}
}

// A transition is a change of the status, and what others wrote stays.
func TestPodConditionsKeepWhatStands(t *testing.T) {
	began, probed := metav1.NewTime(noon.Add(-time.Hour)), metav1.NewTime(noon.Add(-time.Minute))
	pod := podFor("p", "orders:1")
	pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Reason: "theirs", LastTransitionTime: began},
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: began, LastProbeTime: probed, ObservedGeneration: 7},
		{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, LastTransitionTime: began},
		{Type: "theirs", Status: corev1.ConditionTrue, LastTransitionTime: began},
	}
	want := []corev1.PodCondition{
		pod.Status.Conditions[0], pod.Status.Conditions[1],
		{Type: corev1.ContainersReady, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon)},
		pod.Status.Conditions[3],
		{Type: corev1.PodReadyToStartContainers, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon)},
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon)},
	}
	if d := cmp.Diff(want, conditionsOf(pod, true)); d != "" {
		t.Errorf("conditions (-want +got):\n%s", d)
	}
}
