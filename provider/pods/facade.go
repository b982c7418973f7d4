package pods

import (
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/labels"
	corev1informers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"

	"module-controller/internal/rewatch"
	"module-controller/provider/plan"
)

const byNode = "node"

// newInformer watches the module pods that are bound to a Node.
func newInformer(client kubernetes.Interface) cache.SharedIndexInformer {
	return podsByNode(client, slim, func(o *metav1.ListOptions) {
		o.LabelSelector = plan.LabelComponent + "=" + plan.ComponentModule
		o.FieldSelector = fields.OneTermNotEqualSelector("spec.nodeName", "").String()
	})
}

// podsByNode watches pods, and keeps of them what shrink leaves.
func podsByNode(client kubernetes.Interface, shrink cache.TransformFunc, tweak func(*metav1.ListOptions)) cache.SharedIndexInformer {
	lw := rewatch.Of(client, client.CoreV1().Pods(metav1.NamespaceAll), tweak)
	informer := cache.NewSharedIndexInformer(lw, &corev1.Pod{}, 0, cache.Indexers{byNode: func(obj any) ([]string, error) {
		return []string{obj.(*corev1.Pod).Spec.NodeName}, nil
	}})
	if err := informer.SetTransform(shrink); err != nil {
		panic(err) // it can only be refused after the informer was started
	}
	return informer
}

// onNode gives the pods that an informer indexed by Node has. They must not be changed.
func onNode(informer cache.SharedIndexInformer, node string) []*corev1.Pod {
	objs, err := informer.GetIndexer().ByIndex(byNode, node)
	if err != nil {
		return nil // the index exists
	}
	pods := make([]*corev1.Pod, 0, len(objs))
	for _, obj := range objs {
		pods = append(pods, obj.(*corev1.Pod))
	}
	return pods
}

// facade is the informer that the one pod controller of this replica sees. It shows
// the pods on some Nodes only: showing a Node adds its pods, hiding it deletes them,
// and each pod is added before it is updated. What is shown of a pod is its skeleton.
type facade struct {
	informer cache.SharedIndexInformer
	// news is told how a shown pod changed: was is nil for one that is new, is for one that
	// is gone. It is set once.
	news func(was, is *corev1.Pod)

	mu sync.Mutex
	// mu guards what follows; it is held while the handler and news run, which only queue
	handler cache.ResourceEventHandler // the pod controller's; nil until it runs
	// nodes are those whose pods are shown, with the names of these pods.
	nodes map[string]map[string]bool
	// shown are the pods that the handler knows, by namespace/name. All are on nodes.
	shown map[string]shownPod
}

// shownPod is a pod that the handler knows.
type shownPod struct {
	pod   *corev1.Pod // as the API server has it
	since time.Time   // when it was shown, or its images were changed
}

func newFacade(informer cache.SharedIndexInformer) *facade {
	return &facade{
		informer: informer, news: func(_, _ *corev1.Pod) {},
		nodes: map[string]map[string]bool{}, shown: map[string]shownPod{},
	}
}

// handle delivers events to h, beginning with the pods on Nodes that are shown already.
func (f *facade) handle(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	f.mu.Lock()
	f.handler = h
	f.mu.Unlock()
	return f.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    f.see,
		UpdateFunc: func(_, obj any) { f.see(obj) },
		DeleteFunc: f.lose,
	})
}

func (f *facade) see(obj any) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.show(obj.(*corev1.Pod))
}

// show delivers a pod on a Node that is shown as new or changed. The caller holds mu.
func (f *facade) show(pod *corev1.Pod) {
	key := keyOf(pod)
	was, shown := f.shown[key]
	if shown && was.pod.UID != pod.UID {
		// The pod of that name is another one, on whatever Node: the watch missed its deletion.
		f.hide(key)
		shown = false
	}
	names := f.nodes[pod.Spec.NodeName]
	switch {
	case f.handler == nil, names == nil:
		return
	case !shown:
		f.shown[key], names[key] = shownPod{pod, time.Now()}, true
		f.handler.OnAdd(skeleton(pod), false)
		f.news(nil, pod)
	case concernsHandover(was.pod, pod):
		f.shown[key] = shownPod{pod, time.Now()}
		f.handler.OnUpdate(skeleton(was.pod), skeleton(pod))
		f.news(was.pod, pod)
	default:
		f.shown[key] = shownPod{pod, was.since}
		f.news(was.pod, pod)
	}
}

// lose takes a deletion, or the tombstone of one that the watch missed.
func (f *facade) lose(obj any) {
	key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj)
	if err != nil {
		return // not a pod
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hide(key)
}

// hide delivers the deletion of a shown pod. The caller holds mu.
func (f *facade) hide(key string) {
	was, shown := f.shown[key]
	if !shown {
		return
	}
	delete(f.shown, key)
	delete(f.nodes[was.pod.Spec.NodeName], key)
	f.handler.OnDelete(skeleton(was.pod))
	f.news(was.pod, nil)
}

// again has a shown pod handed over again, with what it refers to read after now. Another
// one of that name is left alone.
func (f *facade) again(pod *corev1.Pod) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key := keyOf(pod)
	was, shown := f.shown[key]
	if !shown || was.pod.UID != pod.UID {
		return
	}
	f.shown[key] = shownPod{was.pod, time.Now()}
	f.handler.OnAdd(skeleton(was.pod), false) // it compares nothing, unlike an update
}

// showNode shows the pods on a Node. Showing it again is harmless.
func (f *facade) showNode(node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.nodes[node] != nil {
		return
	}
	f.nodes[node] = map[string]bool{}
	for _, pod := range f.onNode(node) {
		f.show(pod)
	}
}

// hideNode hides the pods on a Node.
func (f *facade) hideNode(node string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key := range f.nodes[node] {
		f.hide(key)
	}
	delete(f.nodes, node)
}

// onNode gives the pods that the API server has on a Node, shown or not. They
// must not be changed.
func (f *facade) onNode(node string) []*corev1.Pod { return onNode(f.informer, node) }

// all gives the pods that are bound to a Node, of all replicas. They must not be changed.
func (f *facade) all() []*corev1.Pod {
	objs := f.informer.GetStore().List()
	all := make([]*corev1.Pod, 0, len(objs))
	for _, obj := range objs {
		all = append(all, obj.(*corev1.Pod))
	}
	return all
}

// version is a resource version that the cache of pods has reached; empty where that is
// not known.
func (f *facade) version() string { return f.informer.GetStore().LastStoreSyncResourceVersion() }

// get gives a shown pod, as the API server has it now, and since when it is to be handed
// over so; nil for none.
func (f *facade) get(namespace, name string) (*corev1.Pod, time.Time) {
	f.mu.Lock()
	defer f.mu.Unlock()
	shown := f.shown[namespace+"/"+name]
	return shown.pod, shown.since
}

// podInformer is the facade in the form in which virtual-kubelet takes it.
type podInformer struct{ *facade }

var _ corev1informers.PodInformer = podInformer{}

func (i podInformer) Informer() cache.SharedIndexInformer {
	return shownInformer{i.informer, i.facade}
}
func (i podInformer) Lister() corev1listers.PodLister { return podLister{i.facade} }

// shownInformer is the real informer but for who is told what.
type shownInformer struct {
	cache.SharedIndexInformer
	facade *facade
}

func (i shownInformer) AddEventHandler(h cache.ResourceEventHandler) (cache.ResourceEventHandlerRegistration, error) {
	return i.facade.handle(h)
}

// podLister lists the shown pods.
type podLister struct{ facade *facade }

func (l podLister) List(s labels.Selector) ([]*corev1.Pod, error) {
	l.facade.mu.Lock()
	defer l.facade.mu.Unlock()
	var pods []*corev1.Pod
	for _, shown := range l.facade.shown {
		if s.Matches(labels.Set(shown.pod.Labels)) {
			pods = append(pods, skeleton(shown.pod))
		}
	}
	return pods, nil
}

func (l podLister) Pods(namespace string) corev1listers.PodNamespaceLister {
	return podNamespaceLister{l, namespace}
}

type podNamespaceLister struct {
	podLister
	namespace string
}

func (l podNamespaceLister) List(s labels.Selector) ([]*corev1.Pod, error) {
	all, err := l.podLister.List(s)
	var pods []*corev1.Pod
	for _, pod := range all {
		if pod.Namespace == l.namespace {
			pods = append(pods, pod)
		}
	}
	return pods, err
}

func (l podNamespaceLister) Get(name string) (*corev1.Pod, error) {
	if pod, _ := l.facade.get(l.namespace, name); pod != nil {
		return skeleton(pod), nil
	}
	return nil, apierrors.NewNotFound(corev1.Resource("pods"), name)
}
