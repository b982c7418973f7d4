package plan

import (
	"fmt"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// Two pods of one revision on one base: the second can never serve there, and its
// ReplicaSet counts it as one of its replicas, though other bases are free. It ends as one
// that a kubelet rejects, and the ReplicaSet makes another, which the scheduler places
// anew.

// A ReplicaSet that makes its pods here again has each of them wait twice as long as those
// before, or its ended pods would fill the namespace.
const (
	// rejectAfter is how long a pod waits at first for the other one to go.
	rejectAfter = time.Minute
	// rejectAfterMax is the longest wait.
	rejectAfterMax = time.Hour
	// rejectForget is how long after the last rejection the wait is short again.
	rejectForget = 2 * rejectAfterMax
)

// Rejection is what is remembered of a ReplicaSet whose pods were rejected on a base.
type Rejection struct {
	// Rounds is how often its pods came back here after that, and were rejected too;
	// those that wait at the same time are of one round.
	Rounds int
	// At is when the last round was.
	At time.Time
}

// watchDuplicates notes since when pods are duplicates that are to be rejected in time.
func (p *planner) watchDuplicates() {
	was := p.out.Memory.Duplicates
	p.out.Memory.Duplicates = map[types.UID]time.Time{}
	maps.DeleteFunc(p.out.Memory.Rejections, func(_ types.UID, r Rejection) bool { return p.past(r.At.Add(rejectForget)) })
	for uid, pp := range p.demand.plans {
		if !slices.ContainsFunc(pp.wants, p.replaceable) {
			continue
		}
		since, known := was[uid]
		if !known {
			since = p.in.Now
		}
		p.out.Memory.Duplicates[uid] = since
		p.out.tooEarly(since.Add(p.rejectPause(pp.pod, since)))
	}
}

// rejectPause is how long a pod waits that is a duplicate since then.
func (p *planner) rejectPause(pod Pod, since time.Time) time.Duration {
	r, before := p.out.Memory.Rejections[metav1.GetControllerOf(pod.Pod).UID]
	switch rounds := min(r.Rounds, 16); {
	case !before:
		return rejectAfter
	case since.After(r.At): // it came back since
		return min(rejectAfter<<(rounds+1), rejectAfterMax)
	default:
		return min(rejectAfter<<rounds, rejectAfterMax)
	}
}

// reject notes that a pod is rejected, which may be said of it more than once.
func (p *planner) reject(pod Pod, since time.Time) {
	of := metav1.GetControllerOf(pod.Pod).UID
	r, before := p.out.Memory.Rejections[of]
	switch {
	case !before:
		p.out.Memory.Rejections[of] = Rejection{At: p.in.Now}
	case since.After(r.At):
		p.out.Memory.Rejections[of] = Rejection{Rounds: r.Rounds + 1, At: p.in.Now}
	}
}

// replaceable says of a want that another pod of its own revision has its place, and that
// its controller makes another pod elsewhere once this one has ended. One of a DaemonSet or
// a StatefulSet would come back here, or under the same name.
func (p *planner) replaceable(w *want) bool {
	owner := metav1.GetControllerOf(w.pod.Pod)
	switch {
	case w.role != duplicate, owner == nil:
		return false
	case !slices.Contains([]string{"ReplicaSet", "ReplicationController"}, owner.Kind):
		return false
	}
	return metav1.IsControlledBy(p.demand.name(w.key.Name).chosen.pod.Pod, &metav1.ObjectMeta{UID: owner.UID})
}

// rejects says whether a pod is to end because it has waited for its place long enough.
func (p *planner) rejects(pod Pod) bool {
	since, waits := p.out.Memory.Duplicates[pod.UID]
	switch {
	case p.standing != ready, !waits:
		return false
	}
	return p.past(since.Add(p.rejectPause(pod, since)))
}

// rejectedStatus is the last status of a pod that is rejected.
func (r reporter) rejectedStatus(pod Pod) corev1.PodStatus {
	s, since := r.status(pod), r.out.Memory.Duplicates[pod.UID]
	waited := r.rejectPause(pod, since)
	r.reject(pod, since)
	s.Phase, s.Reason = corev1.PodFailed, ReasonDuplicate
	s.Message = clip(fmt.Sprintf("Pod was rejected: another pod of its ReplicaSet has its module on this base for over %s. "+
		"Spread them with matchLabelKeys: [pod-template-hash]", roughly(waited)))
	r.out.event(pod.UID, true, ReasonDuplicate, s.Message)
	return s
}
