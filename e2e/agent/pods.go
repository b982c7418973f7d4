package agent

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// watchPods gives each pod bound to the Node a worker, until ctx ends. It returns when
// nothing of the watch runs.
func (a *Agent) watchPods(ctx context.Context) {
	bound := fields.OneTermEqualSelector("spec.nodeName", a.o.NodeName).String()
	factory := informers.NewSharedInformerFactoryWithOptions(a.o.Client, 0,
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.FieldSelector = bound }))
	_, err := factory.Core().V1().Pods().Informer().AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(o any) { a.saw(ctx, o.(*corev1.Pod)) },
		UpdateFunc: func(before, now any) {
			if was := before.(*corev1.Pod); was.UID != now.(*corev1.Pod).UID {
				a.lost(was)
			}
			a.saw(ctx, now.(*corev1.Pod))
		},
		DeleteFunc: func(o any) {
			if missed, ok := o.(cache.DeletedFinalStateUnknown); ok {
				o = missed.Obj
			}
			a.lost(o.(*corev1.Pod))
		},
	})
	if err != nil { // only of an informer that was stopped
		a.log.Error("watch pods", "error", err)
		return
	}
	factory.Start(ctx.Done())
	<-ctx.Done()
	factory.Shutdown()
}

// saw tells a pod's worker how the pod is now, and starts one if the pod is new. A pod
// that has ended has none.
func (a *Agent) saw(ctx context.Context, pod *corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	w := a.workers[pod.UID]
	if w == nil {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || ctx.Err() != nil {
			return
		}
		w = newPodWorker(a, pod)
		a.workers[pod.UID], a.newest[pod.Name] = w, w
		a.running.Go(func() {
			w.run(ctx)
			a.ended(w)
		})
	}
	w.saw(pod)
}

// lost tells a pod's worker that the pod is not in the API any more.
func (a *Agent) lost(pod *corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if w := a.workers[pod.UID]; w != nil {
		w.lost()
	}
}

func (a *Agent) ended(w *podWorker) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.workers, w.uid)
	if a.newest[w.name] == w {
		delete(a.newest, w.name)
	}
}
