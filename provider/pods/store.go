package pods

import (
	"context"
	"sync"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// store has the pods as the pod controller handed them over: with their environment
// resolved. It is virtual-kubelet's pod lifecycle handler: it records and wakes the
// base, and does nothing itself.
type store struct {
	facade *facade
	wake   func(node string) // called with mu held

	mu sync.Mutex
	// mu guards what follows, and all that it leads to
	nodes  map[string]*servedNode // by name; a Node that is not here is not served
	byName map[string]*entry      // by namespace/name, the newest; each is in nodes too
}

// servedNode is what is known of the pods of a Node. A pod is in one of the first two at
// most.
type servedNode struct {
	entries    map[types.UID]*entry // that were handed over
	unresolved map[types.UID]string // why a pod could not be
	// writes are the statuses that were written last, until the cache shows them.
	writes map[types.UID]*write
	// deleted are the pods whose deletion at once was accepted; finalizers may keep them.
	deleted map[types.UID]bool
}

func newServedNode() *servedNode {
	return &servedNode{
		entries: map[types.UID]*entry{}, unresolved: map[types.UID]string{}, writes: map[types.UID]*write{},
		deleted: map[types.UID]bool{},
	}
}

func newStore(f *facade, wake func(node string)) *store {
	s := &store{facade: f, wake: wake, nodes: map[string]*servedNode{}, byName: map[string]*entry{}}
	f.news = s.saw
	return s
}

func keyOf(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// CreatePod implements virtual-kubelet's PodLifecycleHandler.
func (s *store) CreatePod(_ context.Context, pod *corev1.Pod) error {
	s.put(pod)
	return nil
}

// UpdatePod implements virtual-kubelet's PodLifecycleHandler. The pod may be
// another one of the same name.
func (s *store) UpdatePod(_ context.Context, pod *corev1.Pod) error {
	s.put(pod)
	return nil
}

// put takes a pod of a Node that is served. One whose Node was forgotten meanwhile
// comes too late.
func (s *store) put(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[pod.Spec.NodeName]
	if node == nil {
		return
	}
	e := node.entries[pod.UID]
	if e == nil {
		e = &entry{now: pod}
		node.entries[pod.UID] = e
	}
	e.spec = pod.Spec
	s.byName[keyOf(pod)] = e
	delete(node.unresolved, pod.UID)
	s.wake(pod.Spec.NodeName)
}

// DeletePod implements virtual-kubelet's PodLifecycleHandler. It is called when
// the deletion of a pod began, and when the API server has the pod no more: the facade
// told both.
func (s *store) DeletePod(context.Context, *corev1.Pod) error {
	return nil
}

// GetPod implements virtual-kubelet's PodLifecycleHandler. virtual-kubelet asks before
// it hands a pod over, and does so only if the pod is not known or differs in more than
// its UID. So a pod is known only by its UID.
func (s *store) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	now := s.facade.get(namespace, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.byName[namespace+"/"+name]
	switch {
	case e == nil:
	case now == nil: // no other took its place
		return e.now, nil
	case now.UID == e.now.UID:
		return e.now, nil
	}
	return nil, errdefs.NotFoundf("pod %s/%s is not known", namespace, name)
}

// GetPodStatus implements virtual-kubelet's PodLifecycleHandler.
func (s *store) GetPodStatus(ctx context.Context, namespace, name string) (*corev1.PodStatus, error) {
	pod, err := s.GetPod(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	return &pod.Status, nil
}

// GetPods implements virtual-kubelet's PodLifecycleHandler. virtual-kubelet asks
// at its start only, to delete pods that the API server does not know; this
// process knows none then.
func (s *store) GetPods(context.Context) ([]*corev1.Pod, error) { return nil, nil }

// NotifyPods implements virtual-kubelet's PodNotifier. It is never notified: it would
// skip, compare and forget statuses by rules of its own.
func (s *store) NotifyPods(context.Context, func(*corev1.Pod)) {}

// cannotResolve records why a pod's environment could not be resolved, so that it
// could not be handed over.
func (s *store) cannotResolve(pod *corev1.Pod, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[pod.Spec.NodeName]
	switch {
	case node == nil:
	case node.entries[pod.UID] != nil: // it was handed over before
	case node.unresolved[pod.UID] == why:
	default:
		node.unresolved[pod.UID] = why
		s.wake(pod.Spec.NodeName)
	}
}

// notHandedOver records why virtual-kubelet could not hand a pod over, by the pod's
// key. It does not write an Event for all that it cannot resolve.
//
// virtual-kubelet calls it with its queue locked, and the facade queues pods with mu
// locked: so the pod is taken from the cache, without mu.
func (s *store) notHandedOver(key string, why error) {
	obj, there, err := s.facade.informer.GetStore().GetByKey(key)
	if pod, is := obj.(*corev1.Pod); err == nil && there && is {
		s.cannotResolve(pod, why.Error())
	}
}

// serve begins to take the pods of a Node.
func (s *store) serve(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.nodes[node] == nil {
		s.nodes[node] = newServedNode()
	}
}

// forget forgets all pods of a Node, and takes no more.
func (s *store) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[name]
	if node == nil {
		return
	}
	for _, e := range node.entries {
		s.unname(e)
	}
	delete(s.nodes, name)
}

// drop forgets a pod.
func (s *store) drop(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[pod.Spec.NodeName]
	if node == nil {
		return
	}
	delete(node.unresolved, pod.UID)
	delete(node.writes, pod.UID)
	if e := node.entries[pod.UID]; e != nil {
		delete(node.entries, pod.UID)
		s.unname(e)
	}
}

// cancel forgets what is to be written of a pod.
func (s *store) cancel(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if node := s.nodes[pod.Spec.NodeName]; node != nil {
		delete(node.writes, pod.UID)
	}
}

// deleted records that the API server accepted to delete a pod at once.
func (s *store) deleted(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if node := s.nodes[pod.Spec.NodeName]; node != nil {
		node.deleted[pod.UID] = true
	}
}

// isDeleted says whether a pod waits for nothing but its finalizers. A grace of 0 tells the
// same of a deletion that somebody else asked for: without finalizers there would be no pod.
func (s *store) isDeleted(pod *corev1.Pod) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	node, grace := s.nodes[pod.Spec.NodeName], pod.DeletionGracePeriodSeconds
	switch {
	case node != nil && node.deleted[pod.UID]:
		return true
	case pod.DeletionTimestamp == nil, len(pod.Finalizers) == 0:
		return false
	}
	return grace != nil && *grace == 0
}

// unname forgets an entry by its name, unless another pod has the name by now. The
// caller holds mu.
func (s *store) unname(e *entry) {
	if key := keyOf(e.now); s.byName[key] == e {
		delete(s.byName, key)
	}
}
