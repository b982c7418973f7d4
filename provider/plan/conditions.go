package plan

import (
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// conditions sets the pod conditions that are a kubelet's; those of others stay.
// A transition time changes with the condition's status only.
func (p *planner) conditions(pod Pod, s *corev1.PodStatus, allReady bool) {
	var waiting []string
	for _, cs := range s.ContainerStatuses {
		if !cs.Ready {
			waiting = append(waiting, cs.Name)
		}
	}
	containers := corev1.PodCondition{Type: corev1.ContainersReady, Status: corev1.ConditionTrue}
	if !allReady {
		containers.Status, containers.Reason = corev1.ConditionFalse, "ContainersNotReady"
		containers.Message = clip(fmt.Sprintf("containers with unready status: [%s]", strings.Join(waiting, " ")))
	}
	ready := containers
	ready.Type = corev1.PodReady
	if missing := gatesClosed(pod.Pod, s); allReady && len(missing) > 0 {
		ready.Status, ready.Reason = corev1.ConditionFalse, "ReadinessGatesNotReady"
		ready.Message = clip(fmt.Sprintf("readiness gates that are not met: [%s]", strings.Join(missing, " ")))
	}
	yes := func(t corev1.PodConditionType) corev1.PodCondition {
		return corev1.PodCondition{Type: t, Status: corev1.ConditionTrue}
	}
	for _, c := range []corev1.PodCondition{yes(corev1.PodInitialized), ready, containers} {
		p.setPodCondition(s, c)
	}
	if !slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool { return c.Type == corev1.PodScheduled }) {
		p.setPodCondition(s, yes(corev1.PodScheduled)) // bound past the scheduler
	}
}

func gatesClosed(pod *corev1.Pod, s *corev1.PodStatus) []string {
	var closed []string
	for _, gate := range pod.Spec.ReadinessGates {
		if !slices.ContainsFunc(s.Conditions, func(c corev1.PodCondition) bool {
			return c.Type == gate.ConditionType && c.Status == corev1.ConditionTrue
		}) {
			closed = append(closed, string(gate.ConditionType))
		}
	}
	return closed
}

func (p *planner) setPodCondition(s *corev1.PodStatus, want corev1.PodCondition) {
	want.LastTransitionTime = metav1.NewTime(p.Now.Truncate(time.Second))
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
