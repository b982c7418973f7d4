package agent

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// watchPods gives each pod bound to the Node a life, until ctx ends. It returns when
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

// saw tells a pod's life how the pod is now, and begins that life if it is new. A
// pod that has ended has no life.
func (a *Agent) saw(ctx context.Context, pod *corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	l := a.lives[pod.UID]
	if l == nil {
		if pod.Status.Phase == corev1.PodSucceeded || pod.Status.Phase == corev1.PodFailed || ctx.Err() != nil {
			return
		}
		l = newLife(a, pod)
		a.lives[pod.UID], a.named[pod.Name] = l, l
		a.running.Go(func() {
			l.run(ctx)
			a.ended(l)
		})
	}
	l.saw(pod)
}

// lost tells a pod's life that the pod is not in the API any more.
func (a *Agent) lost(pod *corev1.Pod) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if l := a.lives[pod.UID]; l != nil {
		l.lost()
	}
}

func (a *Agent) ended(l *life) {
	a.mu.Lock()
	defer a.mu.Unlock()
	delete(a.lives, l.uid)
	if a.named[l.name] == l {
		delete(a.named, l.name)
	}
}
