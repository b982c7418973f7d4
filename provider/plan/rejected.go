package plan

import (
	"fmt"
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

// rejectAfter is how long a pod waits for the other one to go: a ReplicaSet that makes its
// pods here again and again makes one in that time.
const rejectAfter = time.Minute

// watchDuplicates notes since when pods are duplicates that are to be rejected in time.
func (p *planner) watchDuplicates() {
	was := p.out.Memory.Duplicates
	p.out.Memory.Duplicates = map[types.UID]time.Time{}
	for uid, pp := range p.demand.plans {
		if !slices.ContainsFunc(pp.wants, p.replaceable) {
			continue
		}
		since, known := was[uid]
		if !known {
			since = p.in.Now
		}
		p.out.Memory.Duplicates[uid] = since
		p.out.tooEarly(since.Add(rejectAfter))
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
	return p.past(since.Add(rejectAfter))
}

// rejectedStatus is the last status of a pod that is rejected.
func (r reporter) rejectedStatus(pod Pod) corev1.PodStatus {
	s := r.status(pod)
	s.Phase, s.Reason = corev1.PodFailed, ReasonDuplicate
	s.Message = clip(fmt.Sprintf("Pod was rejected: another pod of its ReplicaSet has its module on this base for %s. "+
		"Spread them with matchLabelKeys: [pod-template-hash]", rejectAfter))
	r.out.event(pod.UID, true, ReasonDuplicate, s.Message)
	return s
}
