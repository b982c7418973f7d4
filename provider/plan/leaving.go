package plan

import "time"

// leavesAt is when the modules of a terminating pod may be uninstalled: once what the pod
// asks to wait for has passed, and never after its grace. The zero time is at once. Only a
// preStop hook that sleeps makes it wait, and only for a module that serves: load balancers
// hear of a deletion later than the base does.
//
// NB: the deletion's time is the API server's, so the wait is wrong by as much as our clock.
func leavesAt(pod Pod) time.Time {
	pause := longestSleep(pod)
	if pod.Gone || pod.DeletionTimestamp == nil || pause <= 0 {
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
		hook := c.Lifecycle
		if hook == nil || hook.PreStop == nil || hook.PreStop.Sleep == nil {
			continue
		}
		if s := statusOf(pod.Pod, c.Name); s != nil && runs(*s) {
			longest = max(longest, time.Duration(hook.PreStop.Sleep.Seconds)*time.Second)
		}
	}
	return longest
}
