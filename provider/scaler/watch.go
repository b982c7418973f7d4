package scaler

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/tools/cache"

	"module-controller/internal/rewatch"
	"module-controller/provider/scaling"
)

// deployments makes the informer of peer Deployments.
func (s *Scaler) deployments() cache.SharedIndexInformer {
	lw := rewatch.Of(s.deps.Client, s.deps.Client.AppsV1().Deployments(metav1.NamespaceAll), func(o *metav1.ListOptions) {
		o.LabelSelector = scaling.Selector
	})
	return cache.NewSharedIndexInformer(lw, &appsv1.Deployment{}, 0, cache.Indexers{})
}

// watch queues a Deployment that is new, is told otherwise than before, or is gone. Of its
// status, which changes with each of its pods, nothing is read.
func (s *Scaler) watch() error {
	queue := func(obj any) {
		if key, err := cache.DeletionHandlingMetaNamespaceKeyFunc(obj); err == nil {
			s.queue.Add(key)
		}
	}
	_, err := s.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: queue,
		UpdateFunc: func(was, is any) {
			if before, after := was.(*appsv1.Deployment), is.(*appsv1.Deployment); before.Generation != after.Generation || !maps.Equal(before.Labels, after.Labels) {
				queue(is)
			}
		},
		DeleteFunc: queue,
	})
	if err != nil {
		return fmt.Errorf("watch deployments: %w", err)
	}
	return errors.Join(s.informer.SetTransform(slim), s.informer.SetWatchErrorHandlerWithContext(s.watchFailed))
}

// watchFailed tells what must be done where Deployments may not be read, and leaves the rest
// to the library.
func (s *Scaler) watchFailed(ctx context.Context, r *cache.Reflector, err error) {
	if apierrors.IsForbidden(err) {
		s.refused.Tell("may not watch Deployments, so no peer Deployment is scaled: apply manifests/peer-deployments", "watch", "", zap.Error(err))
		return
	}
	cache.DefaultWatchErrorHandler(ctx, r, err)
}

// slim keeps of a Deployment what is read here.
func slim(obj any) (any, error) {
	d, ok := obj.(*appsv1.Deployment)
	if !ok {
		return obj, nil
	}
	d.ManagedFields, d.Annotations, d.Status = nil, nil, appsv1.DeploymentStatus{}
	pod := &d.Spec.Template.Spec
	d.Spec.Template = corev1.PodTemplateSpec{Spec: corev1.PodSpec{NodeSelector: pod.NodeSelector, Affinity: pod.Affinity, Tolerations: pod.Tolerations}}
	return d, nil
}

// get gives a Deployment as the cache has it; nil for none. It must not be changed.
func (s *Scaler) get(key string) *appsv1.Deployment {
	obj, ok, err := s.informer.GetStore().GetByKey(key)
	if err != nil || !ok {
		return nil
	}
	return obj.(*appsv1.Deployment)
}

// replicasOf is how many replicas a Deployment asks for.
func replicasOf(d *appsv1.Deployment) int {
	if d.Spec.Replicas == nil {
		return 1 // as the API has it
	}
	return int(*d.Spec.Replicas)
}

// podsOf says of Nodes whether they have a pod of a Deployment that is to stay.
func (s *Scaler) podsOf(d *appsv1.Deployment) (has func(node string) bool, err error) {
	selector, err := metav1.LabelSelectorAsSelector(d.Spec.Selector)
	if err != nil {
		return nil, fmt.Errorf("read selector of deployment %s/%s: %w", d.Namespace, d.Name, err)
	}
	return func(node string) bool {
		return slices.ContainsFunc(s.deps.VNodes.PodsOn(node), func(pod *corev1.Pod) bool { return stays(pod, d.Namespace, selector) })
	}, nil
}

// stays says whether a pod is one that a selector selects, and is not about to go.
func stays(pod *corev1.Pod, namespace string, selector labels.Selector) bool {
	switch {
	case pod.Namespace != namespace, pod.DeletionTimestamp != nil:
		return false
	case pod.Status.Phase == corev1.PodSucceeded, pod.Status.Phase == corev1.PodFailed:
		return false
	}
	return selector.Matches(labels.Set(pod.Labels))
}

// nodeChanged takes in that a Node is another. What changes with each look at a base counts
// for nothing.
func (s *Scaler) nodeChanged(was, is *corev1.Node) {
	if was == nil || is == nil || !sameFit(was, is) {
		s.nodes.Add(1)
	}
}

// sameFit says whether the same pods may run on two states of a Node.
func sameFit(was, is *corev1.Node) bool {
	of := func(n *corev1.Node) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: n.Labels, DeletionTimestamp: n.DeletionTimestamp}, Spec: n.Spec}
	}
	return scaling.Ready(was) == scaling.Ready(is) && equality.Semantic.DeepEqual(of(was), of(is))
}
