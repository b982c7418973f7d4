package plan

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Reasons of a terminated container.
const (
	reasonUninstalled   = "Uninstalled"
	reasonBaseRestarted = "BaseRestarted"
	reasonVanished      = "ModuleVanished"
	reasonReplaced      = "Replaced"
)

// containerStatus is the status of a container that is observed to run or to wait,
// beside the one that it has.
func (r reporter) containerStatus(pod Pod, c corev1.Container, is observation) corev1.ContainerStatus {
	cs := corev1.ContainerStatus{Name: c.Name}
	if was := statusOf(pod.Pod, c.Name); was != nil {
		cs = *was.DeepCopy()
	}
	cs.Image = c.Image
	if is.imageID != "" || is.handedOn {
		cs.ImageID = is.imageID
	}
	cs.Ready = is.running
	cs.Started = &is.running
	if is.running {
		r.start(pod, &cs, is)
	} else {
		r.stop(pod, &cs, is)
	}
	return cs
}

// start records that a module serves; one that did already keeps its start.
func (r reporter) start(pod Pod, cs *corev1.ContainerStatus, is observation) {
	if runs(*cs) {
		return
	}
	cs.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: r.startedAt(pod, is.since)}}
	cs.ContainerID = "koupleless://" + r.in.BaseID.Identity + "/" + is.key.String()
	r.out.event(pod.UID, false, "Installed", is.key.String()+" serves")
}

// startedAt is when a module began to serve: by the base's clock where that makes
// sense, else now.
func (r reporter) startedAt(pod Pod, since time.Time) metav1.Time {
	if since.Before(pod.CreationTimestamp.Time) || since.After(r.in.Now) || since.IsZero() {
		since = r.in.Now
	}
	return metav1.NewTime(since.Truncate(time.Second))
}

// stop records that a module waits, and if it served until now, how that ended. An
// event tells the new reason, unless an event of what led to it told it already.
func (r reporter) stop(pod Pod, cs *corev1.ContainerStatus, is observation) {
	if ran := cs.State.Running; ran != nil {
		if is.reinstalls() {
			cs.RestartCount++
		}
		cs.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
			Reason: r.whyStopped(cs, is), StartedAt: ran.StartedAt, FinishedAt: metav1.NewTime(r.in.Now.Truncate(time.Second)), ContainerID: cs.ContainerID,
		}}
	}
	repeated := waitsFor(cs) == is.reason
	cs.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: is.reason, Message: is.message}}
	if !repeated && !is.toldElsewhere() {
		r.out.event(pod.UID, true, is.reason, cs.Name+": "+is.message)
	}
}

// whyStopped is why a module that served does not any more. What is not installed again
// was stopped for the reason that it waits for.
func (r reporter) whyStopped(cs *corev1.ContainerStatus, is observation) string {
	switch {
	case !is.reinstalls():
		return is.reason
	case r.in.Seen.Started.After(cs.State.Running.StartedAt.Time):
		return reasonBaseRestarted
	case cs.Image != cs.ImageID:
		return reasonReplaced
	}
	return reasonVanished
}

// finishContainer makes a container's last status: its module was uninstalled.
func finishContainer(cs *corev1.ContainerStatus, at metav1.Time) {
	ended := &corev1.ContainerStateTerminated{Reason: reasonUninstalled, FinishedAt: at, ContainerID: cs.ContainerID}
	if runs(*cs) {
		ended.StartedAt = cs.State.Running.StartedAt
	}
	if cs.State.Terminated == nil {
		cs.State = corev1.ContainerState{Terminated: ended}
	}
	cs.Ready, cs.Started = false, new(bool)
}
