package plan

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestFinishedStatus(t *testing.T) {
	pod := podFor("p", "orders:1", ran("file:///x.jar"), terminating)
	began := metav1.NewTime(noon.Add(-time.Minute))
	pod.Status.Conditions = []corev1.PodCondition{
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: began},
		{Type: corev1.PodReady, Status: corev1.ConditionTrue, LastTransitionTime: began},
		{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, Reason: "before", LastTransitionTime: began},
		{Type: "theirs", Status: corev1.ConditionTrue, LastTransitionTime: began},
	}
	pod.Status.Reason, pod.Status.Message = "UninstallPending", "why"
	started := pod.Status.ContainerStatuses[0].State.Running.StartedAt
	s := statusIn(Modules(onBase().with(pod)), "p").Status
	if s.Phase != corev1.PodFailed || s.Reason != "" {
		t.Errorf("phase %s", s.Phase)
	}
	want := &corev1.ContainerStateTerminated{Reason: "Uninstalled", ExitCode: 143, StartedAt: started, FinishedAt: metav1.NewTime(noon), ContainerID: "koupleless://b/x"}
	if d := cmp.Diff(want, s.ContainerStatuses[0].State.Terminated); d != "" || s.ContainerStatuses[0].Ready || *s.ContainerStatuses[0].Started {
		t.Errorf("container %+v (-want +got):\n%s", s.ContainerStatuses[0], d)
	}
	conditions := []corev1.PodCondition{
		{Type: corev1.PodInitialized, Status: corev1.ConditionTrue, LastTransitionTime: began},
		{Type: corev1.PodReady, Status: corev1.ConditionFalse, Reason: "PodFailed", LastTransitionTime: metav1.NewTime(noon)},
		{Type: corev1.ContainersReady, Status: corev1.ConditionFalse, Reason: "before", LastTransitionTime: began},
		{Type: "theirs", Status: corev1.ConditionTrue, LastTransitionTime: began},
	}
	if d := cmp.Diff(conditions, s.Conditions); d != "" {
		t.Errorf("conditions (-want +got):\n%s", d)
	}
	// A second look changes nothing, and a pod that the API has no more is not written.
	pod.Status = s
	if d := cmp.Diff(s, finishedStatus(pod, noon.Add(time.Hour))); d != "" {
		t.Errorf("a second look (-first +second):\n%s", d)
	}
	forced := podFor("p", "orders:1", ran("file:///x.jar"), gone)
	if d := cmp.Diff(forced.Status, statusIn(Modules(onBase().with(forced)), "p").Status); d != "" {
		t.Errorf("one deleted by force is written (-was +is):\n%s", d)
	}
}

// A deleted pod has not done its work, whoever owns it; what never ran was not stopped, and
// one that somebody ended before keeps its phase.
func TestEndsOfContainers(t *testing.T) {
	never := podFor("p", "orders:1", waits(ReasonInstalling), terminating)
	done := podFor("p", "orders:1", waits(ReasonInstalling), succeeding, terminating)
	injected := podFor("p", "orders:1", ran("file:///x.jar"), terminating)
	injected.Status.ContainerStatuses = append(injected.Status.ContainerStatuses, notRun("proxy", "proxy:1", nil, metav1.NewTime(noon)))
	for _, c := range []struct {
		name  string
		pod   Pod
		phase corev1.PodPhase
		exits []int32
	}{
		{"it never ran", never, corev1.PodFailed, []int32{137}},
		{"it ended before", done, corev1.PodSucceeded, []int32{137}},
		{"beside a container that is not run", injected, corev1.PodFailed, []int32{143, 0}},
		{"it showed nothing yet", podFor("p", "orders:1", terminating), corev1.PodFailed, nil},
	} {
		s := statusIn(Modules(onBase().with(c.pod)), "p").Status
		var exits []int32
		for _, cs := range s.ContainerStatuses {
			exits = append(exits, cs.State.Terminated.ExitCode)
		}
		if d := cmp.Diff(c.exits, exits); d != "" || s.Phase != c.phase {
			t.Errorf("%s: phase %s, exit codes (-want +got):\n%s", c.name, s.Phase, d)
		}
	}
}
