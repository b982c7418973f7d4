package pods

import (
	"maps"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"

	"module-controller/provider/plan"
)

// entry is a pod that was handed over, or one that is being deleted.
type entry struct {
	pod *corev1.Pod // as handed over
	// declared is the spec as the API server had it last; nil until it was seen there.
	declared *corev1.PodSpec
	deleted  bool // DeletePod was called, or another pod took the name
	// last is the status that this process wrote last: until the cache has caught up
	// with it, it is the pod's status. Nil once the cache has.
	last *write
}

// write is one write of a status. Its status does not change.
type write struct {
	status  corev1.PodStatus
	version string // the pod's resource version after it; empty while it is under way
}

// on gives the pods of a Node for the planner: those that the API server has, and
// those that are gone from the API but not from the base.
func (s *store) on(name string) (pods []plan.Pod) {
	current := s.facade.onNode(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[name]
	there := map[types.UID]bool{}
	for _, pod := range current {
		there[pod.UID] = true
		planned := node.planned(pod)
		planned.Secrets = plan.RefersToSecrets(pod) // in the pod as handed over they are resolved
		pods = append(pods, planned)
	}
	if node == nil {
		return pods
	}
	maps.DeleteFunc(node.unresolved, func(uid types.UID, _ string) bool { return !there[uid] })
	for uid, e := range node.entries {
		if e.deleted && !there[uid] {
			pods = append(pods, plan.Pod{Pod: e.pod, Declared: e.declared, Gone: true})
		}
	}
	return pods
}

// planned is a pod that the API server has, for the planner. The node is nil where it
// is not served. The cases stand in the order in which more is known of a pod: what was
// handed over is shown whatever could not be resolved of it later, and a deletion needs
// no handover.
func (n *servedNode) planned(pod *corev1.Pod) plan.Pod {
	if n == nil {
		return plan.Pod{Pod: pod, Unsynced: true}
	}
	if e := n.entries[pod.UID]; e != nil {
		return e.planned(pod)
	}
	if pod.DeletionTimestamp != nil {
		// Its deletion began before it was handed over, perhaps to another owner.
		n.entries[pod.UID] = &entry{pod: pod, deleted: true}
		return n.entries[pod.UID].planned(pod)
	}
	if why, ok := n.unresolved[pod.UID]; ok {
		return plan.Pod{Pod: pod, Unresolved: why}
	}
	return plan.Pod{Pod: pod, Unsynced: true}
}

// planned is the pod for the planner, as the API server has it now.
func (e *entry) planned(now *corev1.Pod) plan.Pod {
	e.declared = &now.Spec
	return plan.Pod{Pod: e.merged(now), Declared: e.declared}
}

// merged is the pod as handed over with what the API server says of it now.
func (e *entry) merged(now *corev1.Pod) *corev1.Pod {
	pod := *e.pod
	pod.ObjectMeta, pod.Status = now.ObjectMeta, now.Status
	if e.last == nil {
		return &pod
	}
	if e.last.shownBy(now) {
		e.last = nil
		return &pod
	}
	pod.Status = e.last.status
	return &pod
}

// shownBy says whether a pod from the cache is at least as new as a write that has
// ended. Where their versions cannot be compared the cache is believed.
func (w *write) shownBy(now *corev1.Pod) bool {
	if w.underWay() {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(now.ResourceVersion, w.version)
	return err != nil || order >= 0
}

// begin records that a status is to be written, and gives how to have it written; nil
// while the pod controller does not run.
func (s *store) begin(pod *corev1.Pod, status corev1.PodStatus) (notify func(*corev1.Pod)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entry(pod); e != nil {
		e.last = &write{status: status}
	}
	return s.notify
}

// lastWrite gives the write of a pod that was begun last; nil for none, or for one that
// the cache shows.
func (s *store) lastWrite(pod *corev1.Pod) *write {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entry(pod); e != nil {
		return e.last
	}
	return nil
}

// wrote records the version that a write made. One that was begun since goes on.
func (s *store) wrote(w *write, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if w != nil {
		w.version = version
	}
}

// writing says whether a status of a pod that is there is being written.
func (s *store) writing(name string) bool {
	current := s.facade.onNode(name)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(current, func(pod *corev1.Pod) bool {
		e := s.entry(pod)
		return e != nil && e.last.underWay()
	})
}

// underWay says whether a write has not ended yet. A nil one has.
func (w *write) underWay() bool { return w != nil && w.version == "" }
