package provider

import (
	"context"
	"maps"
	"slices"
	"sync"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/tools/cache"

	"module-controller/provider/plan"
)

// podStore has the pods as the pod controller handed them over: with their
// environment resolved. It is virtual-kubelet's pod lifecycle handler: it records
// and wakes the base, and does nothing itself.
type podStore struct {
	provider *Provider

	mu sync.Mutex
	// mu guards what follows
	pods       map[string]map[types.UID]*podEntry // by the name of a Node that is served
	byName     map[string]*podEntry               // by namespace/name, the newest
	unresolved map[string]map[types.UID]string    // why, by the name of a Node that is served
	notify     func(*corev1.Pod)
}

type podEntry struct {
	pod     *corev1.Pod // as handed over
	deleted bool        // DeletePod was called
	// written is the status that this process wrote last and writtenVersion the
	// pod's resource version then, empty while the write is under way: until the
	// cache has caught up, this is the pod's status.
	written        *corev1.PodStatus
	writtenVersion string
}

func newPodStore(p *Provider) *podStore {
	return &podStore{
		provider: p, pods: map[string]map[types.UID]*podEntry{}, byName: map[string]*podEntry{}, unresolved: map[string]map[types.UID]string{},
	}
}

func keyOf(pod *corev1.Pod) string { return pod.Namespace + "/" + pod.Name }

// CreatePod implements virtual-kubelet's PodLifecycleHandler.
func (s *podStore) CreatePod(_ context.Context, pod *corev1.Pod) error { return s.put(pod) }

// UpdatePod implements virtual-kubelet's PodLifecycleHandler. The pod may be
// another one of the same name.
func (s *podStore) UpdatePod(_ context.Context, pod *corev1.Pod) error { return s.put(pod) }

// put takes a pod of a Node that is served; one that is on its way while its Node is
// let go comes too late.
func (s *podStore) put(pod *corev1.Pod) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	onNode, served := s.pods[pod.Spec.NodeName]
	if !served {
		return nil
	}
	if was := s.byName[keyOf(pod)]; was != nil && was.pod.UID != pod.UID {
		was.deleted = true
		s.wake(was.pod.Spec.NodeName)
	}
	entry := onNode[pod.UID]
	if entry == nil {
		entry = &podEntry{}
		onNode[pod.UID] = entry
	}
	entry.pod = pod
	s.byName[keyOf(pod)] = entry
	delete(s.unresolved[pod.Spec.NodeName], pod.UID)
	s.wake(pod.Spec.NodeName)
	return nil
}

// DeletePod implements virtual-kubelet's PodLifecycleHandler. It is called when
// the deletion of a pod began, and when the API server has the pod no more.
func (s *podStore) DeletePod(_ context.Context, pod *corev1.Pod) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.pods[pod.Spec.NodeName][pod.UID]
	if entry == nil {
		return errdefs.NotFoundf("pod %s is not known", keyOf(pod))
	}
	entry.deleted = true
	s.wake(pod.Spec.NodeName)
	return nil
}

// GetPod implements virtual-kubelet's PodLifecycleHandler. It asks before it hands a
// pod over, and hands over what differs in more than the UID alone: one that
// another pod of the name went before is not known.
func (s *podStore) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	now := s.provider.shown.get(namespace, name)
	s.mu.Lock()
	defer s.mu.Unlock()
	entry := s.byName[namespace+"/"+name]
	if entry == nil || now != nil && now.UID != entry.pod.UID {
		return nil, errdefs.NotFoundf("pod %s/%s is not known", namespace, name)
	}
	return entry.pod, nil
}

// GetPodStatus implements virtual-kubelet's PodLifecycleHandler.
func (s *podStore) GetPodStatus(ctx context.Context, namespace, name string) (*corev1.PodStatus, error) {
	pod, err := s.GetPod(ctx, namespace, name)
	if err != nil {
		return nil, err
	}
	return &pod.Status, nil
}

// GetPods implements virtual-kubelet's PodLifecycleHandler. virtual-kubelet asks
// at its start only, to delete pods that the API server does not know; this
// process knows none then.
func (s *podStore) GetPods(context.Context) ([]*corev1.Pod, error) { return nil, nil }

// NotifyPods implements virtual-kubelet's PodNotifier.
func (s *podStore) NotifyPods(_ context.Context, notify func(*corev1.Pod)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.notify = notify
}

// wake queues the base on a Node. It does not block.
func (s *podStore) wake(node string) {
	if b := s.provider.bases.byNodeName(node); b != nil {
		b.unsettle()
		s.provider.queue.Add(b.id)
	}
}

// cannotResolve records why a pod's environment could not be resolved, so that it
// could not be handed over.
func (s *podStore) cannotResolve(pod *corev1.Pod, why string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	onNode, served := s.pods[pod.Spec.NodeName]
	if !served || onNode[pod.UID] != nil || s.unresolved[pod.Spec.NodeName][pod.UID] == why {
		return
	}
	s.unresolved[pod.Spec.NodeName][pod.UID] = why
	s.wake(pod.Spec.NodeName)
}

// notHandedOver is told why virtual-kubelet could not hand a pod over, by the pod's
// key. Not for all that it cannot resolve it writes an Event.
func (s *podStore) notHandedOver(key string, why error) {
	namespace, name, err := cache.SplitMetaNamespaceKey(key)
	if err != nil {
		return // not a pod's
	}
	if pod := s.provider.shown.get(namespace, name); pod != nil {
		s.cannotResolve(pod, why.Error())
	}
}

// onNode gives the pods of a Node for the planner: those that the API server has
// and that were handed over, those that are being deleted, those whose environment
// cannot be resolved, those that are on their way through the pod controller, and
// those that are gone from the API but not from the base.
func (s *podStore) onNode(node string) (pods []plan.Pod) {
	current := s.provider.shown.onNode(node)
	s.mu.Lock()
	defer s.mu.Unlock()
	there := map[types.UID]bool{}
	for _, pod := range current {
		there[pod.UID] = true
		entry := s.pods[node][pod.UID]
		if entry == nil && pod.DeletionTimestamp != nil && s.pods[node] != nil {
			// Its deletion began before it was handed over, perhaps to somebody else.
			entry = &podEntry{pod: pod, deleted: true}
			s.pods[node][pod.UID] = entry
		}
		if entry != nil {
			pods = append(pods, plan.Pod{Pod: entry.merged(pod)})
		} else if why, ok := s.unresolved[node][pod.UID]; ok {
			pods = append(pods, plan.Pod{Pod: pod, Unresolved: why})
		} else {
			pods = append(pods, plan.Pod{Pod: pod, Unsynced: true})
		}
	}
	maps.DeleteFunc(s.unresolved[node], func(uid types.UID, _ string) bool { return !there[uid] })
	for uid, entry := range s.pods[node] {
		if !there[uid] && entry.deleted {
			pods = append(pods, plan.Pod{Pod: entry.pod, Gone: true})
		}
	}
	return pods
}

// merged is the pod as handed over with what the API server says of it now.
func (e *podEntry) merged(now *corev1.Pod) *corev1.Pod {
	pod := *e.pod
	pod.ObjectMeta, pod.Status = now.ObjectMeta, now.Status
	if e.written == nil {
		return &pod
	}
	if e.writtenVersion != "" {
		order, err := resourceversion.CompareResourceVersion(now.ResourceVersion, e.writtenVersion)
		if err != nil || order >= 0 {
			e.written, e.writtenVersion = nil, ""
			return &pod
		}
	}
	pod.Status = *e.written
	return &pod
}

// drop forgets a pod.
func (s *podStore) drop(pod *corev1.Pod) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.dropLocked(pod.Spec.NodeName, pod.UID)
}

func (s *podStore) dropLocked(node string, uid types.UID) {
	delete(s.unresolved[node], uid)
	entry := s.pods[node][uid]
	if entry == nil {
		return
	}
	delete(s.pods[node], uid)
	if s.byName[keyOf(entry.pod)] == entry {
		delete(s.byName, keyOf(entry.pod))
	}
}

// serveNode begins to take the pods of a Node.
func (s *podStore) serveNode(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pods[node] == nil {
		s.pods[node], s.unresolved[node] = map[types.UID]*podEntry{}, map[types.UID]string{}
	}
}

// forgetNode forgets all pods of a Node, and takes no more.
func (s *podStore) forgetNode(node string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for uid := range s.pods[node] {
		s.dropLocked(node, uid)
	}
	delete(s.pods, node)
	delete(s.unresolved, node)
}

// write has a pod's new status written. It may block while virtual-kubelet looks
// for the pod.
func (s *podStore) write(pod *corev1.Pod, status corev1.PodStatus) {
	s.mu.Lock()
	if entry := s.pods[pod.Spec.NodeName][pod.UID]; entry != nil {
		entry.written, entry.writtenVersion = &status, ""
	}
	notify := s.notify
	s.mu.Unlock()
	if notify == nil {
		return
	}
	changed := *pod
	changed.Status = status
	notify(&changed)
}

// writing says whether a status of a pod that is there is being written.
func (s *podStore) writing(node string) bool {
	current := s.provider.shown.onNode(node)
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc(current, func(pod *corev1.Pod) bool {
		entry := s.pods[node][pod.UID]
		return entry != nil && entry.written != nil && entry.writtenVersion == ""
	})
}

// toWrite gives the status of a pod that is to be written, nil for none.
func (s *podStore) toWrite(node string, uid types.UID) *corev1.PodStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.pods[node][uid]; entry != nil {
		return entry.written
	}
	return nil
}

// wrote records the version that the write of a status made, unless another is to be
// written since.
func (s *podStore) wrote(node string, uid types.UID, status *corev1.PodStatus, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if entry := s.pods[node][uid]; entry != nil && entry.written != nil && entry.written == status {
		entry.writtenVersion = version
	}
}

// unsettle makes the next thing heard wake a worker.
func (i *inbox) unsettle() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.settled.ok = false
}
