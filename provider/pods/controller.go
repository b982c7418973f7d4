package pods

import (
	"context"
	"fmt"
	"strings"
	"time"

	vknode "github.com/virtual-kubelet/virtual-kubelet/node"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// newController makes virtual-kubelet's pod controller: one for all bases, for
// one a base would cost goroutines and memory a base. It resolves environments
// and hands pods over to the store.
func (p *Pods) newController() (*vknode.PodController, error) {
	config := vknode.PodControllerConfig{
		PodClient:         noWrites{},
		PodInformer:       podInformer{p.facade},
		EventRecorder:     podRecorder{p.deps.Recorder, p.store},
		Provider:          p.store,
		ConfigMapInformer: configMaps{client: p.deps.Client},
		SecretInformer:    secrets{client: p.deps.Client},
		ServiceInformer:   noServices{},

		SyncPodsFromKubernetesRateLimiter:       podRetries(handoverRetryMax),
		DeletePodsFromKubernetesRateLimiter:     podRetries(handoverRetryMax),
		SyncPodsFromKubernetesShouldRetryFunc:   p.retryHandover,
		DeletePodsFromKubernetesShouldRetryFunc: retryAlways,
	}
	controller, err := vknode.NewPodController(config)
	if err != nil {
		return nil, fmt.Errorf("make pod controller: %w", err)
	}
	return controller, nil
}

// runController runs a pod controller until ctx ends.
func runController(ctx context.Context, c *vknode.PodController, workers int) error {
	if err := c.Run(ctx, workers); err != nil && ctx.Err() == nil {
		return fmt.Errorf("run pod controller: %w", err)
	}
	return nil // what fails because ctx has ended is no failure
}

// handoverRetryMax bounds the pause before a pod is handed over again.
const handoverRetryMax = 30 * time.Second

// podRetries delays a pod's first turn by a millisecond: the controller's own
// default is a bucket for ten pods a second.
func podRetries(most time.Duration) workqueue.TypedRateLimiter[any] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[any](time.Millisecond, most)
}

// retryAlways never gives a pod up; the default does after 20 tries.
func retryAlways(context.Context, string, int, time.Time, error) (*time.Duration, error) {
	return nil, nil
}

// retryHandover is retryAlways, and notes what stands in the way.
func (p *Pods) retryHandover(_ context.Context, key string, _ int, _ time.Time, err error) (*time.Duration, error) {
	p.store.notHandedOver(key, err)
	return nil, nil
}

// podRecorder passes on the events that tell users something, and notes the ones
// that say why an environment could not be resolved.
type podRecorder struct {
	record.EventRecorder
	store *store
}

func (r podRecorder) Event(obj runtime.Object, kind, reason, message string) {
	if strings.HasPrefix(reason, "Provider") {
		return // one an update of a pod: the Events of package plan say what happened
	}
	// What was there and could not be read is told whole by retryHandover: why, too.
	if pod, ok := obj.(*corev1.Pod); ok && kind == corev1.EventTypeWarning && !saysLess(reason) {
		r.store.cannotResolve(pod, message)
	}
	r.EventRecorder.Event(obj, kind, reason, message)
}

// saysLess says whether an Event of a reason does not say why a pod waits.
func saysLess(reason string) bool {
	return strings.Contains(reason, "Optional") || strings.HasPrefix(reason, "FailedToRead")
}

func (r podRecorder) Eventf(obj runtime.Object, kind, reason, format string, args ...any) {
	r.Event(obj, kind, reason, fmt.Sprintf(format, args...))
}
