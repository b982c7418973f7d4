package pods

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
)

// store has the pods as they were handed over: with their environment resolved. It records
// and wakes the base, and does nothing itself.
type store struct {
	facade *facade
	wake   func(node string)     // called with mu held
	left   func(pod *corev1.Pod) // called with mu held, for a pod that went and was not deleted here

	mu sync.Mutex
	// mu guards what follows, and all that it leads to
	nodes map[string]*servedNode // by name; a Node that is not here is not served
}

// servedNode is what is known of the pods of a Node.
type servedNode struct {
	entries  map[types.UID]*entry   // that were handed over
	failures map[types.UID]*failure // why a pod could not be handed over last
	// writes are the statuses that were written last, until the cache shows them.
	writes map[types.UID]*write
	// deleted are the pods whose deletion at once was accepted; finalizers may keep them.
	deleted map[types.UID]bool
	rate    *rate.Limiter // of statuses
}

// failure is why a pod could not be handed over.
type failure struct {
	why   string
	count int       // in a row
	told  string    // what was told last
	at    time.Time // when that was
}

func newServedNode() *servedNode {
	return &servedNode{
		entries: map[types.UID]*entry{}, failures: map[types.UID]*failure{}, writes: map[types.UID]*write{},
		deleted: map[types.UID]bool{}, rate: rate.NewLimiter(statusRate, statusBurst),
	}
}

func newStore(f *facade, wake func(node string)) *store {
	s := &store{facade: f, wake: wake, left: func(*corev1.Pod) {}, nodes: map[string]*servedNode{}}
	f.news = s.saw
	return s
}

func keyOf(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// has says whether a pod was handed over with the images that it has now, or need not be:
// its Node is not served.
func (s *store) has(pod *corev1.Pod) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[pod.Spec.NodeName]
	if node == nil {
		return true
	}
	e := node.entries[pod.UID]
	return e != nil && !e.stale && sameImages(e.resolved, pod.Spec.Containers)
}

// renew makes pods of a Node stale, and gives those that were not.
func (s *store) renew(name string, uids []types.UID) (stale []*corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[name]
	if node == nil {
		return nil
	}
	for _, uid := range uids {
		if e := node.entries[uid]; e != nil && !e.stale {
			e.stale = true
			stale = append(stale, e.now)
		}
	}
	return stale
}

// put takes a pod of a Node that is served, with its containers resolved. One whose Node
// was forgotten meanwhile comes too late.
func (s *store) put(pod *corev1.Pod, resolved []corev1.Container) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[pod.Spec.NodeName]
	if node == nil {
		return
	}
	delete(node.failures, pod.UID)
	node.entries[pod.UID] = newEntry(pod, resolved, time.Now())
	s.wake(pod.Spec.NodeName)
}

const (
	// handoverRetryFirst and handoverRetryMax bound the pause before a pod is handed over
	// again, which doubles.
	handoverRetryFirst = time.Second
	handoverRetryMax   = 30 * time.Second
	// tellEvery is how often it is told at most why a pod cannot be handed over.
	tellEvery = time.Minute
)

// notHandedOver records why a pod could not be handed over, by the pod's key. It gives how
// soon to try again, and the pod where that is to be told.
//
// virtual-kubelet calls it with its queue locked, and the facade queues pods with mu
// locked: so the pod is taken from the cache, without mu.
func (s *store) notHandedOver(key, why string, now time.Time) (again time.Duration, tell *corev1.Pod) {
	obj, there, err := s.facade.informer.GetStore().GetByKey(key)
	pod, is := obj.(*corev1.Pod)
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case err != nil, !there, !is, s.nodes[pod.Spec.NodeName] == nil:
		return handoverRetryFirst, nil
	}
	node := s.nodes[pod.Spec.NodeName]
	f := node.failures[pod.UID]
	if f == nil {
		f = &failure{}
		node.failures[pod.UID] = f
	}
	if e := node.entries[pod.UID]; f.why != why && (e == nil || e.stale) { // one that was handed over stays as it is
		s.wake(pod.Spec.NodeName)
	}
	f.why = why
	f.count++
	if f.told != why && now.Sub(f.at) >= tellEvery {
		f.told, f.at, tell = why, now, pod
	}
	return min(handoverRetryFirst<<min(f.count-1, 5), handoverRetryMax), tell
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
	delete(node.failures, pod.UID)
	delete(node.writes, pod.UID)
	delete(node.entries, pod.UID)
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

// isDeleted says whether a pod waits for nothing but its finalizers.
func (s *store) isDeleted(pod *corev1.Pod) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if node := s.nodes[pod.Spec.NodeName]; node != nil && node.deleted[pod.UID] {
		return true
	}
	return keptByFinalizers(pod)
}

// keptByFinalizers says whether somebody deleted a pod at once, whose finalizers keep it:
// without any there would be no pod.
func keptByFinalizers(pod *corev1.Pod) bool {
	grace := pod.DeletionGracePeriodSeconds
	switch {
	case pod.DeletionTimestamp == nil, len(pod.Finalizers) == 0, grace == nil:
		return false
	}
	return *grace == 0
}

// serves says whether a Node is served.
func (s *store) serves(node string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.nodes[node] != nil
}
