package plan

import (
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// reporter says what the pods show. A pod's status is made of several things, each in a
// file of its own: why its containers wait (reasons.go), the statuses of its containers
// (container.go, readiness.go, ends.go, injected.go), its conditions (conditions.go,
// notready.go) and how it leaves (leaving.go).
type reporter struct{ *planner }

// reportAll gives what becomes ready first: it is to be written first, so that a base which
// hands a module on stays an endpoint.
func (r reporter) reportAll() {
	for _, pod := range r.demand.pods {
		r.out.Statuses = append(r.out.Statuses, r.report(pod))
	}
	slices.SortStableFunc(r.out.Statuses, func(a, b PodStatus) int { return b.gain() - a.gain() })
}

// gain is 1 where a status makes a pod ready, else 0.
func (s PodStatus) gain() int {
	if isTrue(s.Status, corev1.PodReady) && !isTrue(s.Pod.Status, corev1.PodReady) {
		return 1
	}
	return 0
}

// report is what a pod shows: what it has shown, where nothing is to be said of it.
func (r reporter) report(pod Pod) PodStatus {
	s := PodStatus{Pod: pod, Status: pod.Status}
	switch {
	case pod.Terminating():
		s.Finished = r.finished(pod)
		s.Status = r.leaving(pod, s.Finished)
	case terminal(pod), pod.Unsynced:
		return s
	case r.awaitsSync(pod), r.frozen(pod):
		s.Status = r.kept(pod)
		return s
	case r.rejects(pod):
		s.Status = r.rejectedStatus(pod)
	default:
		s.Status = r.status(pod)
	}
	if !pod.Gone {
		stamp(pod, &s.Status)
	}
	return s
}

// awaitsSync says whether a module of a live pod waits for a pod that is not yet synced.
func (r reporter) awaitsSync(pod Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		return isModule(c) && r.demand.workOn(keyOf(c).Name) == unsynced
	})
}

// frozen says whether a pod keeps what it shows because nobody knows better. Two bases of
// one identity take from a waiting pod the reason that it waited for.
func (r reporter) frozen(pod Pod) bool {
	if len(pod.Status.ContainerStatuses) == 0 {
		return false
	}
	switch r.standing {
	case away, unread:
		return true
	case conflicted:
	case ready:
		if r.judges() {
			return false
		}
	}
	return slices.ContainsFunc(pod.Status.ContainerStatuses, runs)
}

// judges says whether the base's list tells what there is now.
func (r reporter) judges() bool { return r.standing == ready && r.in.NotReady == "" }

// finished says whether all modules of a terminating pod are gone from the base, or are
// now somebody else's. They are gone with its process.
func (r reporter) finished(pod Pod) bool {
	switch {
	case r.in.Ended:
		return true
	case !r.judges():
		return false
	}
	for _, key := range ModulesOf(pod.Pod) {
		if r.out.Memory.Attempts[key.Name].Module == key {
			return false
		}
		if r.list.of(key) != absent && r.demand.of(key) != requested {
			return false
		}
	}
	return true
}

// status is a pod's status by what its containers show. Where nothing changed it equals
// the one that the pod has.
func (r reporter) status(pod Pod) corev1.PodStatus {
	s := *pod.Status.DeepCopy()
	now := metav1.NewTime(r.in.Now.Truncate(time.Second))
	s.ContainerStatuses = make([]corev1.ContainerStatus, 0, len(pod.Spec.Containers))
	foreign := foreigners(&pod.Spec)
	for _, c := range pod.Spec.Containers {
		if !slices.Contains(foreign, c.Name) {
			s.ContainerStatuses = append(s.ContainerStatuses, r.containerStatus(pod, c, r.observe(pod, c)))
		} else {
			s.ContainerStatuses = append(s.ContainerStatuses, notRun(c.Name, c.Image, pod.Status.ContainerStatuses, now))
		}
	}
	setNotRun(&s, pod, now)
	s.Phase = phaseOf(s)
	s.Reason, s.Message = "", ""
	if s.StartTime == nil {
		s.StartTime = &now
	}
	r.setIPs(&s)
	setPodConditions(pod.Pod, &s, r.in.NotReady, r.in.Now)
	r.tellIgnored(pod)
	return s
}

// setIPs sets the addresses, which are the base's. Several pods may have one address, and
// of those with one address a Service sees a single one, ready or not, and which is not
// defined. So a pod has an address only while its modules serve: no two pods serve one
// module, so a base is an endpoint exactly while a module of the Service serves there.
func (r reporter) setIPs(s *corev1.PodStatus) {
	ip := r.in.IP
	if ip != "" {
		s.HostIP, s.HostIPs = ip, []corev1.HostIP{{IP: ip}}
	}
	switch {
	case !serves(*s):
		s.PodIP, s.PodIPs = "", nil
	case ip != "":
		s.PodIP, s.PodIPs = ip, []corev1.PodIP{{IP: ip}}
	}
}

// serves says whether all modules of a pod serve.
func serves(s corev1.PodStatus) bool {
	return slices.ContainsFunc(s.ContainerStatuses, runs) &&
		!slices.ContainsFunc(s.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Waiting != nil })
}

// phaseOf is Pending until every module has run once; it never goes back.
func phaseOf(s corev1.PodStatus) corev1.PodPhase {
	switch s.Phase {
	case "", corev1.PodPending:
	case corev1.PodRunning, corev1.PodSucceeded, corev1.PodFailed, corev1.PodUnknown:
		return s.Phase
	}
	if slices.ContainsFunc(s.ContainerStatuses, neverRan) {
		return corev1.PodPending
	}
	return corev1.PodRunning
}

// neverRan says of a container that it waits for its first start.
func neverRan(c corev1.ContainerStatus) bool {
	return c.State.Waiting != nil && c.LastTerminationState.Terminated == nil
}

// runs says whether a container shows that its module serves.
func runs(c corev1.ContainerStatus) bool { return c.State.Running != nil }
