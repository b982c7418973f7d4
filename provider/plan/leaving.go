package plan

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// ReasonUninstallPending is why a terminating pod is still there, beside a message that
// says what its modules wait for.
const ReasonUninstallPending = "UninstallPending"

// leaving is what a terminating pod shows: what it has shown, why it is still there, and at
// last how it ended. It stays ready until its modules are stopped, as with a kubelet: what
// balances loads goes by its deletion.
func (r reporter) leaving(pod Pod, finished bool) corev1.PodStatus {
	switch {
	case pod.Gone:
		return pod.Status
	case finished:
		return finishedStatus(pod, r.in.Now)
	}
	s := r.kept(pod)
	if terminal(pod) {
		return s
	}
	tellLeaving(&s, r.whyLeaving(pod))
	if r.deserted(pod) {
		s.PodIP, s.PodIPs = "", nil
		for _, c := range pod.Status.Conditions {
			setPodCondition(&s, unlessDeserted(c), r.in.Now)
		}
	}
	return s
}

// tellLeaving shows why a terminating pod is still there, where kubectl describes a pod;
// empty for what need not be told.
func tellLeaving(s *corev1.PodStatus, why string) {
	s.Reason, s.Message = "", clip(why)
	if s.Message != "" {
		s.Reason = ReasonUninstallPending
	}
}

// deserted says of a terminating pod that a module of it serves no
// more, although it is not gone yet: it was switched away from, or does not stop.
func (r reporter) deserted(pod Pod) bool {
	if !r.judges() {
		return false
	}
	return slices.ContainsFunc(ModulesOf(pod.Pod), func(key tunnel.ModuleKey) bool {
		switch r.list.of(key) {
		case unlisted, serving:
			return false
		case absent, broken, starting, deactivated:
		}
		return true
	})
}

// unlessDeserted is a condition of a pod that serves no more.
func unlessDeserted(c corev1.PodCondition) corev1.PodCondition {
	ready := slices.Contains([]corev1.PodConditionType{corev1.PodReady, corev1.ContainersReady}, c.Type)
	if ready && c.Status == corev1.ConditionTrue {
		c.Status, c.Reason, c.Message = corev1.ConditionFalse, "ContainersNotReady", "a module serves no more"
	}
	return c
}

// leavesAt is when the modules of a terminating pod may be uninstalled: once what the pod
// asks to wait for has passed, and never after its grace. The zero time is at once. Only a
// preStop hook that sleeps makes it wait, and only for a module that serves: load balancers
// hear of a deletion later than the base does.
//
// NB: the deletion's time is the API server's, so the wait is wrong by as much as our clock.
func leavesAt(pod Pod) time.Time {
	pause := longestSleep(pod)
	switch {
	case pod.Gone, pod.DeletionTimestamp == nil, pause <= 0:
		return time.Time{}
	}
	grace := time.Duration(0)
	if s := pod.DeletionGracePeriodSeconds; s != nil {
		grace = time.Duration(*s) * time.Second
	}
	return earlier(pod.DeletionTimestamp.Add(pause-grace), pod.DeletionTimestamp.Time)
}

// longestSleep is the longest preStop sleep of a pod's modules that serve.
func longestSleep(pod Pod) time.Duration {
	longest := time.Duration(0)
	for _, c := range pod.Spec.Containers {
		if s := statusOf(pod.Pod, c.Name); s != nil && runs(*s) {
			longest = max(longest, time.Duration(sleepOf(c))*time.Second)
		}
	}
	return longest
}

// sleepOf is how many seconds a container's preStop hook sleeps.
func sleepOf(c corev1.Container) int64 {
	switch hooks := c.Lifecycle; {
	case hooks == nil, hooks.PreStop == nil, hooks.PreStop.Sleep == nil:
		return 0
	}
	return c.Lifecycle.PreStop.Sleep.Seconds
}
