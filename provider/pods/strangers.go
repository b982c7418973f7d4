package pods

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	"golang.org/x/time/rate"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"

	"module-controller/provider/plan"
)

// ReasonNotAModule is the reason of the Event on a pod that was bound to a VNode without
// the label of modules.
const ReasonNotAModule = plan.ReasonNotAModule

const (
	messageNotAModule = "not a module: label " + plan.LabelComponent + "=" + plan.ComponentModule + " is missing; this Node runs modules only"

	strangerWorkers  = 2
	strangerRetryMax = 30 * time.Second
	// tellRate is how many strangers are told a second, at most. A DaemonSet that tolerates
	// everything puts one on each VNode.
	tellRate = 5
)

// strangers are pods that were bound to VNodes and are no modules: those of DaemonSets that
// tolerate everything, say. Nothing runs them, so they stay Pending, which is what tells
// them from the pods of all other Nodes: one watch of what is bound and Pending costs
// nothing a VNode. Each is told once what it lacks, and is written no status. One that is
// being deleted leaves at once: nothing ever ran, and nobody else would confirm its end.
type strangers struct {
	deps     Deps
	mayWrite func(node string) bool
	serves   func(node string) bool // a Node that is served later is asked for then
	informer cache.SharedIndexInformer
	queue    atomic.Pointer[strangerQueue] // of namespace/name; nil until it runs
	rate     *rate.Limiter

	mu sync.Mutex
	// mu guards what follows
	told map[types.UID]telling
	// left are the pods that left the cache of modules and were not deleted here, by
	// namespace/name, until it is known what became of them.
	left map[string]*corev1.Pod
}

// telling is what is told of a stranger.
type telling struct {
	turn time.Time // when it may be told
	done bool
}

type strangerQueue = workqueue.TypedRateLimitingInterface[string]

func newStrangers(deps Deps, mayWrite, serves func(node string) bool) *strangers {
	return &strangers{
		deps: deps, mayWrite: mayWrite, serves: serves, informer: strangerInformer(deps.Client),
		rate: rate.NewLimiter(tellRate, tellRate), told: map[types.UID]telling{}, left: map[string]*corev1.Pod{},
	}
}

// strangerInformer watches the pods without the label that are bound and Pending.
func strangerInformer(client kubernetes.Interface) cache.SharedIndexInformer {
	return podsByNode(client, outline, func(o *metav1.ListOptions) {
		o.LabelSelector = plan.LabelComponent + "!=" + plan.ComponentModule
		o.FieldSelector = fields.AndSelectors(
			fields.OneTermNotEqualSelector("spec.nodeName", ""),
			fields.OneTermEqualSelector("status.phase", string(corev1.PodPending)),
		).String()
	})
}

// outline keeps of a stranger what is read here.
func outline(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	o := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID, ResourceVersion: pod.ResourceVersion,
		DeletionTimestamp: pod.DeletionTimestamp, DeletionGracePeriodSeconds: pod.DeletionGracePeriodSeconds,
		Finalizers: pod.Finalizers,
	}}
	if component, has := pod.Labels[plan.LabelComponent]; has {
		o.Labels = map[string]string{plan.LabelComponent: component}
	}
	if mirror, has := pod.Annotations[corev1.MirrorPodAnnotationKey]; has {
		o.Annotations = map[string]string{corev1.MirrorPodAnnotationKey: mirror}
	}
	o.Spec.NodeName, o.Status.Phase = pod.Spec.NodeName, pod.Status.Phase
	return o, nil
}

// isStranger says whether a pod is one. A mirror pod is some kubelet's; what was run by
// somebody, or has ended, leaves without us.
func isStranger(pod *corev1.Pod) bool {
	_, mirror := pod.Annotations[corev1.MirrorPodAnnotationKey]
	switch {
	case mirror, pod.Spec.NodeName == "", pod.Labels[plan.LabelComponent] == plan.ComponentModule:
		return false
	}
	return pod.Status.Phase == corev1.PodPending
}

// start lets strangers be seen. The queue has goroutines of its own, which end when it is
// shut: run is to be called next.
func (s *strangers) start() (strangerQueue, error) {
	if _, err := s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: s.see, UpdateFunc: func(_, is any) { s.see(is) }, DeleteFunc: s.lose,
	}); err != nil {
		return nil, fmt.Errorf("watch pods that are no modules: %w", err)
	}
	limit := workqueue.NewTypedItemExponentialFailureRateLimiter[string](time.Second, strangerRetryMax)
	queue := workqueue.NewTypedRateLimitingQueue(limit)
	s.queue.Store(&queue)
	return queue, nil
}

// run watches and deals with strangers until ctx ends.
func (s *strangers) run(ctx context.Context, queue strangerQueue) {
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() { s.informer.RunWithContext(ctx) })
	for range strangerWorkers {
		wg.Go(func() {
			for s.step(ctx, queue) {
			}
		})
	}
	<-ctx.Done()
	queue.ShutDown()
}

func (s *strangers) see(obj any) {
	queue := s.queue.Load()
	if pod, ok := obj.(*corev1.Pod); ok && queue != nil {
		(*queue).Add(keyOf(pod))
	}
}

func (s *strangers) lose(obj any) {
	if missed, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = missed.Obj
	}
	if pod, ok := obj.(*corev1.Pod); ok {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.told, pod.UID)
	}
}

// serve deals with the strangers on a Node that is served from now on.
func (s *strangers) serve(node string) {
	for _, pod := range onNode(s.informer, node) {
		s.see(pod)
	}
}

// step deals with one pod. It is false once the queue is shut.
func (s *strangers) step(ctx context.Context, queue strangerQueue) bool {
	key, shut := queue.Get()
	if shut {
		return false
	}
	defer queue.Done(key)
	wait, err := s.look(ctx, key)
	switch {
	case err != nil:
		s.deps.Log.Info("pod that is no module not ended, retrying", zap.String("pod", key), zap.Error(err))
		queue.AddRateLimited(key)
	case wait > 0:
		queue.AddAfter(key, wait)
	default:
		queue.Forget(key)
	}
	return true
}

// look deals with the pods of a name, and gives how soon to do so again; 0 for never.
func (s *strangers) look(ctx context.Context, key string) (wait time.Duration, err error) {
	if err := s.settle(ctx, key); err != nil {
		return 0, err
	}
	obj, there, err := s.informer.GetStore().GetByKey(key)
	if pod, is := obj.(*corev1.Pod); err == nil && there && is {
		return s.treat(ctx, pod, time.Now())
	}
	return 0, nil
}

// treat tells of a stranger, or deletes one that is being deleted. It gives how soon to do
// so, 0 where that is done or nothing of ours.
func (s *strangers) treat(ctx context.Context, pod *corev1.Pod, now time.Time) (wait time.Duration, err error) {
	switch node := pod.Spec.NodeName; {
	case !isStranger(pod), !s.serves(node):
		return 0, nil
	case !s.mayWrite(node):
		return 0, errNotHeld
	case pod.DeletionTimestamp == nil:
		return s.tell(pod, now), nil
	case keptByFinalizers(pod):
		return 0, nil
	}
	return 0, s.delete(ctx, pod)
}

// tell tells once what a pod lacks, or gives how soon to do so.
func (s *strangers) tell(pod *corev1.Pod, now time.Time) (wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, known := s.told[pod.UID]
	if !known {
		t.turn = now.Add(s.rate.ReserveN(now, 1).DelayFrom(now))
	}
	wait = t.turn.Sub(now)
	if !t.done && wait <= 0 {
		t.done = true
		s.deps.Recorder.Event(pod, corev1.EventTypeWarning, ReasonNotAModule, messageNotAModule)
	}
	s.told[pod.UID] = t
	return max(wait, 0)
}

// delete ends a pod that is as it was seen. One that is gone is well, and one that was
// changed is seen again.
func (s *strangers) delete(ctx context.Context, pod *corev1.Pod) error {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	opts := metav1.NewDeleteOptions(0)
	opts.Preconditions = &metav1.Preconditions{UID: &pod.UID, ResourceVersion: &pod.ResourceVersion}
	err := s.deps.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *opts)
	s.deps.Meter.Wrote("pod", err)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	}
	return err
}
