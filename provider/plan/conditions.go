package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// setPodConditions sets the pod conditions that are ours; those of others stay. A
// transition time changes with the condition's status only. While the base is not ready, no
// pod of it is: notReady is why, empty while it is.
func setPodConditions(pod *corev1.Pod, s *corev1.PodStatus, notReady string, now time.Time) {
	is := func(t corev1.PodConditionType) corev1.PodCondition {
		return corev1.PodCondition{Type: t, Status: corev1.ConditionTrue}
	}
	containers := containersReady(s)
	ready := podReady(pod, s, containers)
	for _, c := range []corev1.PodCondition{
		is(corev1.PodReadyToStartContainers), is(corev1.PodInitialized), // the base is there, and nothing comes before a module
		unlessNotReady(ready, notReady), unlessNotReady(containers, notReady),
	} {
		setPodCondition(s, c, now)
	}
	if !slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled }) {
		setPodCondition(s, is(corev1.PodScheduled), now) // bound past the scheduler
	}
}

// containersReady says whether all modules are ready. A pod without containers is not.
func containersReady(s *corev1.PodStatus) corev1.PodCondition {
	c := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}
	var unready []string
	for _, cs := range s.ContainerStatuses {
		if !cs.Ready {
			unready = append(unready, cs.Name)
		}
	}
	if len(unready) > 0 || len(s.ContainerStatuses) == 0 {
		c.Status, c.Reason = corev1.ConditionFalse, "ContainersNotReady"
		c.Message = clip(fmt.Sprintf("containers with unready status: [%s]", strings.Join(unready, " ")))
	}
	return c
}

// podReady is ready where its containers are and its readiness gates are met.
func podReady(pod *corev1.Pod, s *corev1.PodStatus, containers corev1.PodCondition) corev1.PodCondition {
	c := containers
	c.Type = corev1.PodReady
	if closed := gatesClosed(pod, s); c.Status == corev1.ConditionTrue && len(closed) > 0 {
		c.Status, c.Reason = corev1.ConditionFalse, "ReadinessGatesNotReady"
		c.Message = clip(fmt.Sprintf("readiness gates that are not met: [%s]", strings.Join(closed, " ")))
	}
	return c
}

func gatesClosed(pod *corev1.Pod, s *corev1.PodStatus) []string {
	var closed []string
	for _, gate := range pod.Spec.ReadinessGates {
		if !isTrue(*s, gate.ConditionType) {
			closed = append(closed, string(gate.ConditionType))
		}
	}
	return closed
}

func setPodCondition(s *corev1.PodStatus, want corev1.PodCondition, now time.Time) {
	want.LastTransitionTime = metav1.NewTime(now.Truncate(time.Second))
	i := slices.IndexFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == want.Type })
	if i < 0 {
		s.Conditions = append(s.Conditions, want)
		return
	}
	was := s.Conditions[i]
	if was.Status == want.Status {
		want.LastTransitionTime = was.LastTransitionTime
	}
	want.LastProbeTime, want.ObservedGeneration = was.LastProbeTime, was.ObservedGeneration
	s.Conditions[i] = want
}

// isTrue says whether a condition is true.
func isTrue(s corev1.PodStatus, kind corev1.PodConditionType) bool {
	return slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == kind && c.Status == corev1.ConditionTrue
	})
}
