package plan

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// A module never ends by itself, and so never well: it is stopped, or its JVM dies. The
// exit codes are those of a process that a signal ended.

// Reasons of a terminated container.
const (
	reasonUninstalled   = "Uninstalled"
	reasonBaseRestarted = "BaseRestarted"
	reasonVanished      = "ModuleVanished"
	reasonReplaced      = "Replaced"
)

const (
	exitKilled  = 128 + 9  // nobody asked it to stop: its base died or dropped it, or it never started
	exitStopped = 128 + 15 // it was asked to stop: uninstalled, or replaced
)

// ended is how a module that served until now ended. What is not installed again was
// stopped for the reason that it waits for.
func (r reporter) ended(c corev1.Container, cs corev1.ContainerStatus, is observation) *corev1.ContainerStateTerminated {
	end := &corev1.ContainerStateTerminated{
		Reason: is.reason, ExitCode: exitStopped, StartedAt: cs.State.Running.StartedAt,
		FinishedAt: metav1.NewTime(r.in.Now.Truncate(time.Second)), ContainerID: cs.ContainerID,
	}
	switch {
	case !is.reinstalls():
	case r.in.Seen.Started.After(end.StartedAt.Time):
		end.Reason, end.ExitCode = reasonBaseRestarted, exitKilled
	case sourceOf(c.Image) != sourceOf(cs.ImageID):
		end.Reason = reasonReplaced
	default:
		end.Reason, end.ExitCode = reasonVanished, exitKilled
	}
	return end
}

// finishedStatus is the last status of a pod whose modules are gone. It has failed, as one
// has whose processes were stopped: a Job must not count it as done. Who replaces pods
// never sees it, for the pod is deleted at once.
func finishedStatus(pod Pod, now time.Time) corev1.PodStatus {
	s := *pod.Status.DeepCopy()
	at := metav1.NewTime(now.Truncate(time.Second))
	for i := range s.ContainerStatuses {
		finishContainer(&s.ContainerStatuses[i], at)
	}
	if terminal(pod) {
		return s
	}
	s.Phase, s.Reason, s.Message = corev1.PodFailed, "", ""
	for _, c := range pod.Status.Conditions {
		if slices.Contains(endConditions, c.Type) && c.Status != corev1.ConditionFalse {
			setPodCondition(&s, corev1.PodCondition{Type: c.Type, Status: corev1.ConditionFalse, Reason: "PodFailed"}, now)
		}
	}
	return s
}

// DisownedStatus is the last status of a pod that is a module no more. Its module is
// uninstalled, and the pod has failed for the given reason.
func DisownedStatus(pod *corev1.Pod, reason, message string, now time.Time) corev1.PodStatus {
	s := finishedStatus(Pod{Pod: pod}, now)
	s.Reason, s.Message = reason, clip(message)
	return s
}

// endConditions are those that no pod has which has ended.
var endConditions = []corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady, corev1.PodReadyToStartContainers}

// finishContainer makes a container's last status: its module was uninstalled.
func finishContainer(cs *corev1.ContainerStatus, at metav1.Time) {
	cs.Ready, cs.Started = false, new(bool)
	switch {
	case cs.State.Terminated != nil:
	case runs(*cs):
		cs.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: reasonUninstalled, ExitCode: exitStopped, StartedAt: cs.State.Running.StartedAt, FinishedAt: at, ContainerID: cs.ContainerID}}
	default:
		cs.State = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: reasonUninstalled, ExitCode: exitKilled, FinishedAt: at, ContainerID: cs.ContainerID}}
	}
}
