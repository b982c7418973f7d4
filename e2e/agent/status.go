package agent

import (
	"cmp"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// firstStatus is what a pod shows when its worker begins.
func firstStatus(pod *corev1.Pod, now metav1.Time) corev1.PodStatus {
	ip := podIP
	s := corev1.PodStatus{
		Phase: corev1.PodPending, StartTime: &now,
		HostIP: ip, HostIPs: []corev1.HostIP{{IP: ip}},
		PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}},
		ContainerStatuses: []corev1.ContainerStatus{{
			Name: pod.Spec.Containers[0].Name, Image: pod.Spec.Containers[0].Image,
			State: corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: "ContainerCreating"}},
		}},
	}
	setConditions(&s, now)
	return s
}

// setConditions makes the conditions follow from the container. Their times change only
// when they do.
func setConditions(s *corev1.PodStatus, now metav1.Time) {
	c := &s.ContainerStatuses[0]
	set(s, corev1.PodCondition{Type: corev1.PodInitialized, Status: corev1.ConditionTrue}, now)
	for _, t := range []corev1.PodConditionType{corev1.ContainersReady, corev1.PodReady} {
		condition := corev1.PodCondition{Type: t, Status: corev1.ConditionTrue}
		if !c.Ready {
			condition.Status, condition.Reason = corev1.ConditionFalse, "ContainersNotReady"
			condition.Message = fmt.Sprintf("containers with unready status: [%s]", c.Name)
		}
		set(s, condition, now)
	}
}

func set(s *corev1.PodStatus, want corev1.PodCondition, now metav1.Time) {
	want.LastTransitionTime = now
	for i, is := range s.Conditions {
		if is.Type == want.Type {
			if is.Status == want.Status {
				want.LastTransitionTime = is.LastTransitionTime
			}
			s.Conditions[i] = want
			return
		}
	}
	s.Conditions = append(s.Conditions, want)
}

// change changes what the pod shows, and has it written.
func (w *podWorker) change(how func(*corev1.PodStatus, *corev1.ContainerStatus)) {
	w.mu.Lock()
	how(&w.status, &w.status.ContainerStatuses[0])
	setConditions(&w.status, metav1.Now())
	w.mu.Unlock()
	w.poke()
}

func (w *podWorker) poke() {
	select {
	case w.changed <- struct{}{}:
	default: // it will be written anyway
	}
}

// waits shows why there is no process.
func (w *podWorker) waits(reason string, err error) {
	w.agent.log.Error("start", "pod", w.name, "reason", reason, "error", err)
	w.change(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) {
		c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: reason, Message: err.Error()}}
	})
}

// started shows a new process.
func (w *podWorker) started(pid int, ready bool) {
	w.change(func(s *corev1.PodStatus, c *corev1.ContainerStatus) {
		if c.LastTerminationState.Terminated != nil {
			c.RestartCount++
		}
		s.Phase = corev1.PodRunning
		c.ContainerID = fmt.Sprintf("process://%d", pid)
		c.State = corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: metav1.Now()}}
		c.Started, c.Ready = new(true), ready
	})
}

func (w *podWorker) ready(is bool) {
	w.change(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) {
		c.Ready = is && c.State.Running != nil
	})
}

// terminated shows that the process ended and that it is started again after a
// pause.
func (w *podWorker) terminated(how error, pause time.Duration) {
	code, message := exitCode(how)
	w.agent.log.Info("process ended", "pod", w.name, "code", code, "message", message)
	w.change(func(_ *corev1.PodStatus, c *corev1.ContainerStatus) {
		end := &corev1.ContainerStateTerminated{
			ExitCode: code, Reason: "Completed", Message: message, FinishedAt: metav1.Now(), ContainerID: c.ContainerID,
		}
		if code != 0 {
			end.Reason = "Error"
		}
		if r := c.State.Running; r != nil {
			end.StartedAt = r.StartedAt
		}
		c.LastTerminationState.Terminated = end
		c.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{
			Reason: "CrashLoopBackOff", Message: fmt.Sprintf("back-off %s restarting failed container", pause),
		}}
		c.Started, c.Ready = new(false), false
	})
}

// over shows that the pod has ended for good.
func (w *podWorker) over() {
	w.change(func(s *corev1.PodStatus, c *corev1.ContainerStatus) {
		end := c.LastTerminationState.Terminated
		end = cmp.Or(end, &corev1.ContainerStateTerminated{ExitCode: 137, Reason: "ContainerStatusUnknown", FinishedAt: metav1.Now()})
		c.State = corev1.ContainerState{Terminated: end}
		c.LastTerminationState = corev1.ContainerState{}
		c.Ready, s.Phase = false, corev1.PodSucceeded
		if end.ExitCode != 0 {
			s.Phase = corev1.PodFailed
		}
	})
}
