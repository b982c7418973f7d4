package plan

import (
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

// Reasons of a terminated container.
const (
	reasonUninstalled   = "Uninstalled"
	reasonBaseRestarted = "BaseRestarted"
	reasonVanished      = "ModuleVanished"
	reasonReplaced      = "Replaced"
)

// status makes a pod's status of what its containers should show. Where nothing
// changed it equals the one that the pod has.
func (p *planner) status(pod Pod, containers []shown) corev1.PodStatus {
	s := *pod.Status.DeepCopy()
	s.ContainerStatuses = make([]corev1.ContainerStatus, 0, len(containers))
	all := len(containers) > 0
	begun := true
	for i, c := range pod.Spec.Containers {
		cs := p.containerStatus(pod, c, containers[i])
		all = all && cs.Ready
		begun = begun && (cs.State.Running != nil || cs.LastTerminationState.Terminated != nil)
		s.ContainerStatuses = append(s.ContainerStatuses, cs)
	}
	if s.Phase == "" || s.Phase == corev1.PodPending {
		s.Phase = corev1.PodPending
		if begun {
			s.Phase = corev1.PodRunning
		}
	}
	s.Reason, s.Message = "", ""
	if s.StartTime == nil {
		now := metav1.NewTime(p.Now.Truncate(time.Second))
		s.StartTime = &now
	}
	if p.IP != "" {
		s.HostIP, s.PodIP = p.IP, p.IP
		s.HostIPs, s.PodIPs = []corev1.HostIP{{IP: p.IP}}, []corev1.PodIP{{IP: p.IP}}
	}
	p.conditions(pod, &s, all)
	return s
}

func (p *planner) containerStatus(pod Pod, c corev1.Container, is shown) corev1.ContainerStatus {
	cs := corev1.ContainerStatus{Name: c.Name}
	if was := statusOf(pod.Pod, c.Name); was != nil {
		cs = *was.DeepCopy()
	}
	ran := cs.State.Running
	cs.Image = c.Image
	if is.imageID != "" {
		cs.ImageID = is.imageID
	}
	cs.Ready = is.running
	cs.Started = &is.running
	key := tunnel.ModuleKey{Name: c.Name, Version: versionOf(c)}
	switch {
	case is.running && ran != nil:
	case is.running:
		cs.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: p.startedAt(pod, is.since)}}
		cs.ContainerID = "koupleless://" + p.BaseID.Identity + "/" + key.String()
		p.event(pod.UID, false, "Installed", key.String()+" serves")
	default:
		if ran != nil {
			p.stopped(&cs, *ran, is)
		}
		cs.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: is.reason, Message: is.message}}
		p.eventOfWait(pod, c, is)
	}
	return cs
}

// startedAt is when a module began to serve: by the base's clock where that makes
// sense, else now.
func (p *planner) startedAt(pod Pod, since time.Time) metav1.Time {
	if since.IsZero() || since.After(p.Now) || since.Before(pod.CreationTimestamp.Time) {
		since = p.Now
	}
	return metav1.NewTime(since.Truncate(time.Second))
}

// stopped records that a module which ran does not any more. It counts as a restart
// when it is installed again.
func (p *planner) stopped(cs *corev1.ContainerStatus, ran corev1.ContainerStateRunning, is shown) {
	reason := reasonVanished
	again := slices.Contains([]string{ReasonInstalling, ReasonInstallFailed, ReasonInstallBackOff}, is.reason)
	switch {
	case !again:
		reason = is.reason
	case p.Seen.Started.After(ran.StartedAt.Time):
		reason = reasonBaseRestarted
	case cs.Image != cs.ImageID:
		reason = reasonReplaced
	}
	if again {
		cs.RestartCount++
	}
	cs.LastTerminationState = corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{
		Reason: reason, StartedAt: ran.StartedAt, FinishedAt: metav1.NewTime(p.Now.Truncate(time.Second)), ContainerID: cs.ContainerID,
	}}
}

// eventOfWait tells of a container's new reason to wait, unless an event of what
// led to it told that already.
func (p *planner) eventOfWait(pod Pod, c corev1.Container, is shown) {
	if was := statusOf(pod.Pod, c.Name); was != nil && was.State.Waiting != nil && was.State.Waiting.Reason == is.reason {
		return
	}
	switch is.reason {
	case ReasonInstallFailed, ReasonInstallBackOff, ReasonVersionMismatch, ReasonConfigError:
		return
	case ReasonCreating, ReasonInstalling:
		return
	}
	p.event(pod.UID, true, is.reason, c.Name+": "+is.message)
}

// finishedStatus is the last status of a pod whose modules are gone.
func finishedStatus(pod Pod, now time.Time) corev1.PodStatus {
	s := *pod.Status.DeepCopy()
	at := metav1.NewTime(now.Truncate(time.Second))
	for i := range s.ContainerStatuses {
		cs := &s.ContainerStatuses[i]
		ended := &corev1.ContainerStateTerminated{Reason: reasonUninstalled, FinishedAt: at, ContainerID: cs.ContainerID}
		if cs.State.Running != nil {
			ended.StartedAt = cs.State.Running.StartedAt
		}
		if cs.State.Terminated == nil {
			cs.State = corev1.ContainerState{Terminated: ended}
		}
		no := false
		cs.Ready, cs.Started = false, &no
	}
	s.Phase = corev1.PodSucceeded
	for i := range s.Conditions {
		c := &s.Conditions[i]
		if (c.Type == corev1.PodReady || c.Type == corev1.ContainersReady) && c.Status != corev1.ConditionFalse {
			c.Status, c.Reason, c.LastTransitionTime = corev1.ConditionFalse, "PodCompleted", at
		}
	}
	return s
}

// clip makes one line of text of at most tunnel.MaxText bytes without control
// characters.
func clip(text string) string { return clipTo(text, tunnel.MaxText) }

// clipTo is clip for another number of bytes.
func clipTo(text string, most int) string {
	text = strings.ToValidUTF8(text, "?")
	text = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return ' '
		}
		return r
	}, text)
	if len(text) > most {
		text = text[:most]
		for !utf8.ValidString(text) {
			text = text[:len(text)-1]
		}
	}
	return strings.TrimSpace(text)
}
