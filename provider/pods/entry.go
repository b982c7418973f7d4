package pods

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
)

// entry is a pod that was handed over, or one that is being deleted.
type entry struct {
	// now is the pod as the API server had it last. spec is its spec with what was handed
	// over in its place.
	now  *corev1.Pod
	spec corev1.PodSpec
	// resolved are its containers as they were handed over: names, images, environments.
	// Nil where none were.
	resolved []corev1.Container
	// at is when that was; zero where nothing is referred to.
	at time.Time
	// stale: the pod is being handed over again.
	stale bool
}

func newEntry(pod *corev1.Pod, resolved []corev1.Container, at time.Time) *entry {
	e := &entry{resolved: resolved}
	if refers(pod) {
		e.at = at
	}
	e.show(pod)
	return e
}

// show takes in the pod as the API server has it now.
func (e *entry) show(now *corev1.Pod) {
	if e.now == now {
		return
	}
	e.now, e.spec = now, now.Spec
	if e.resolved == nil {
		return
	}
	e.spec.Containers = slices.Clone(now.Spec.Containers)
	for i := range e.spec.Containers {
		c, handed := &e.spec.Containers[i], e.resolved[i] // no container comes or goes
		c.Image, c.Env, c.EnvFrom = handed.Image, handed.Env, nil
	}
}

// on gives the pods of a Node for the planner: those that the API server has, and
// those that are gone from the API but not from the base.
func (s *store) on(name string) (pods []plan.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	// It is read with mu held: a pod that was handed over was in the cache before, so one
	// that is not there now is gone.
	current := s.facade.onNode(name)
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
	node.keep(there)
	for uid, e := range node.entries {
		if !there[uid] {
			pods = append(pods, e.gone())
		}
	}
	return pods
}

// keep forgets what is known of pods that the API server has no more, but for those that
// were handed over.
func (n *servedNode) keep(there map[types.UID]bool) {
	maps.DeleteFunc(n.failures, func(uid types.UID, _ *failure) bool { return !there[uid] })
	maps.DeleteFunc(n.writes, func(uid types.UID, _ *write) bool { return !there[uid] })
	maps.DeleteFunc(n.deleted, func(uid types.UID, _ bool) bool { return !there[uid] })
}

// planned is a pod that the API server has, for the planner. The node is nil where it
// is not served. The cases stand in the order in which more is known of a pod: what was
// handed over is shown whatever could not be resolved of it later, and a deletion needs
// no handover.
func (n *servedNode) planned(now *corev1.Pod) plan.Pod {
	if n == nil {
		return plan.Pod{Pod: now, Unsynced: true}
	}
	pod := *now
	planned := plan.Pod{Pod: &pod, Writing: n.writes[now.UID].underWay()}
	pod.Status = n.shown(now)
	e := n.entries[now.UID]
	if e == nil && now.DeletionTimestamp != nil {
		// Its deletion began before it was handed over, perhaps to another owner.
		e = newEntry(now, nil, time.Time{})
		n.entries[now.UID] = e
	}
	switch {
	case e != nil:
		e.show(now)
		pod.Spec, planned.Declared, planned.Resolved = e.spec, &now.Spec, e.at
		if f := n.failures[now.UID]; e.stale && f != nil && now.DeletionTimestamp == nil {
			planned.Unresolved = f.why
		}
	case n.failures[now.UID] != nil:
		planned.Unresolved = n.failures[now.UID].why
	default:
		planned.Unsynced = true
	}
	return planned
}

// shown is the status of a pod, as the API server has it or as it was written since.
func (n *servedNode) shown(now *corev1.Pod) corev1.PodStatus {
	w := n.writes[now.UID]
	switch {
	case w == nil:
		return now.Status
	case w.shownBy(now), w.obsolete(now):
		delete(n.writes, now.UID)
		return now.Status
	}
	return over(now.Status, w.status)
}

// gone is the pod for the planner, once the API server has it no more.
func (e *entry) gone() plan.Pod {
	pod := *e.now
	pod.Spec = e.spec
	return plan.Pod{Pod: &pod, Declared: &e.now.Spec, Gone: true}
}

// saw takes in that a pod changed, and wakes its Node where that concerns the planner. Was
// is nil for one that is new, is for one that is gone.
func (s *store) saw(was, is *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	on := cmp.Or(is, was).Spec.NodeName
	node := s.nodes[on]
	switch {
	case node == nil:
	case is == nil:
		if !node.deleted[was.UID] && !terminal(was.Status) {
			s.left(was)
		}
		s.wake(on)
	case was != nil && node.concerns(was, is):
		s.wake(on)
	case was == nil && is.DeletionTimestamp != nil: // one that is not is waited for until it is handed over
		s.wake(on)
	}
}

// concerns says whether the planner sees a change of a pod. What was written here is seen
// already, so that no write wakes for itself.
func (n *servedNode) concerns(was, is *corev1.Pod) bool {
	w := n.writes[is.UID]
	switch {
	case !sameDescription(was, is):
		return true
	case w == nil:
		return !equality.Semantic.DeepEqual(was.Status, is.Status)
	case w.obsolete(is):
		return true
	}
	return !equality.Semantic.DeepEqual(over(was.Status, w.status), over(is.Status, w.status))
}

// sameDescription says whether two states of a pod differ in their status at most, as far as
// generations tell. An image that was changed wakes when the pod was handed over.
func sameDescription(a, b *corev1.Pod) bool {
	switch {
	case a.Generation != b.Generation, !a.DeletionTimestamp.Equal(b.DeletionTimestamp), !maps.Equal(a.Labels, b.Labels):
		return false
	}
	return maps.Equal(a.Annotations, b.Annotations)
}

// writing says whether a status of a pod that is there is being written.
func (s *store) writing(name string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[name]
	if node == nil {
		return false
	}
	return slices.ContainsFunc(s.facade.onNode(name), func(pod *corev1.Pod) bool {
		w := node.writes[pod.UID]
		return w.underWay() && !w.obsolete(pod)
	})
}
