package plan

import (
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// containerStatus is the status of a container that is observed to run or to wait,
// beside the one that it has.
func (r reporter) containerStatus(pod Pod, c corev1.Container, is observation) corev1.ContainerStatus {
	cs := corev1.ContainerStatus{Name: c.Name}
	if was := statusOf(pod.Pod, c.Name); was != nil {
		cs = *was.DeepCopy()
	}
	if is.running {
		r.start(pod, c, &cs, is)
	} else {
		r.stop(pod, c, &cs, is)
	}
	cs.Image = redact(c.Image)
	switch {
	case is.imageID != "", is.handedOn:
		cs.ImageID = is.imageID
	}
	cs.ImageID = sourceOf(cs.ImageID)
	if resized(c, &cs) {
		setAllocated(&cs, c)
	}
	setReadiness(&cs, c, pod.Probed[c.Name])
	return cs
}

// start records that a module serves; one that did already keeps its start. Each start but
// the first is a restart, whyever it was stopped.
func (r reporter) start(pod Pod, c corev1.Container, cs *corev1.ContainerStatus, is observation) {
	if runs(*cs) {
		return
	}
	at := r.startedAt(pod, *cs, is.since)
	if cs.ContainerID != "" {
		cs.RestartCount++
		r.out.event(pod.UID, false, "Installed", is.key.String()+" serves again") // the status tells the first time
	}
	cs.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}
	cs.ContainerID = containerID(r.in.BaseID.Identity, is.key, at.Time)
	if len(c.Resources.Requests)+len(c.Resources.Limits) > 0 {
		setAllocated(cs, c)
	}
}

// startedAt is when a module began to serve: by the base's clock where that makes
// sense, else now.
func (r reporter) startedAt(pod Pod, cs corev1.ContainerStatus, since time.Time) metav1.Time {
	earliest := pod.CreationTimestamp.Time
	if last := cs.LastTerminationState.Terminated; last != nil && last.FinishedAt.After(earliest) {
		earliest = last.FinishedAt.Time
	}
	if since.Before(earliest) || since.After(r.in.Now) || since.IsZero() {
		since = r.in.Now
	}
	return metav1.NewTime(since.Truncate(time.Second))
}

// stop records that a module waits, and if it served until now, how that ended. An
// event tells the new reason, unless an event of what led to it told it already.
func (r reporter) stop(pod Pod, c corev1.Container, cs *corev1.ContainerStatus, is observation) {
	if runs(*cs) {
		cs.LastTerminationState = corev1.ContainerState{Terminated: r.ended(c, *cs, is)}
	}
	repeated := waitsFor(cs) == is.reason
	cs.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: is.reason, Message: is.message}}
	if !repeated && !is.toldElsewhere() {
		r.out.event(pod.UID, true, is.reason, cs.Name+": "+is.message)
	}
}

// setAllocated shows a container's resources. It is done at a start, and where they are
// shown: an API server that drops them would be written to for ever.
func setAllocated(cs *corev1.ContainerStatus, c corev1.Container) {
	shown := allocated(c)
	cs.Resources, cs.AllocatedResources = shown.DeepCopy(), c.Resources.Requests.DeepCopy()
}
