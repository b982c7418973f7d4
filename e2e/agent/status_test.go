package agent

import (
	"errors"
	"os/exec"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// The conditions follow from the container, and their times change only when they do.
func TestConditions(t *testing.T) {
	began := metav1.NewTime(time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC))
	later := metav1.NewTime(began.Add(time.Minute))
	s := firstStatus(podWith(), began)
	since := func() map[corev1.PodConditionType]string {
		all := map[corev1.PodConditionType]string{}
		for _, c := range s.Conditions {
			all[c.Type] = string(c.Status) + " " + c.Reason + " " + c.LastTransitionTime.UTC().Format(time.TimeOnly)
		}
		return all
	}
	check := func(want map[corev1.PodConditionType]string) {
		t.Helper()
		if diff := cmp.Diff(want, since()); diff != "" {
			t.Errorf("conditions (-want +got):\n%s", diff)
		}
	}
	check(map[corev1.PodConditionType]string{
		corev1.PodInitialized: "True  12:00:00", corev1.ContainersReady: "False ContainersNotReady 12:00:00", corev1.PodReady: "False ContainersNotReady 12:00:00",
	})
	s.ContainerStatuses[0].Ready = true
	setConditions(&s, later)
	setConditions(&s, metav1.NewTime(later.Add(time.Minute))) // nothing changed since
	check(map[corev1.PodConditionType]string{
		corev1.PodInitialized: "True  12:00:00", corev1.ContainersReady: "True  12:01:00", corev1.PodReady: "True  12:01:00",
	})
}

// What a worker shows of the ends of processes is what a container runtime would.
func TestExitCode(t *testing.T) {
	run := func(script string) error { return exec.Command("sh", "-c", script).Run() }
	for name, c := range map[string]struct {
		err  error
		code int32
		how  string
	}{
		"in order":    {nil, 0, ""},
		"with a code": {run("exit 3"), 3, ""},
		"by a signal": {run("kill -9 $$"), 137, "signal: killed"},
		"not at all":  {errors.New("no such program"), 128, "no such program"},
	} {
		if code, how := exitCode(c.err); code != c.code || how != c.how {
			t.Errorf("%s: %d %q, want %d %q", name, code, how, c.code, c.how)
		}
	}
}

// A pod's grace is what its deletion says, else what its spec does.
func TestGrace(t *testing.T) {
	for name, c := range map[string]struct {
		deletion, spec *int64
		want           time.Duration
	}{
		"by default":      {nil, nil, 30 * time.Second},
		"of the pod":      {nil, new(int64(7)), 7 * time.Second},
		"of its deletion": {new(int64(0)), new(int64(7)), 0},
	} {
		pod := podWith()
		pod.DeletionGracePeriodSeconds, pod.Spec.TerminationGracePeriodSeconds = c.deletion, c.spec
		if got := grace(pod); got != c.want {
			t.Errorf("grace %s: %s, want %s", name, got, c.want)
		}
	}
}
