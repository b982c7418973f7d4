package pods

import (
	"context"
	"errors"
	"fmt"
	"time"

	vknode "github.com/virtual-kubelet/virtual-kubelet/node"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
	corev1informers "k8s.io/client-go/informers/core/v1"
	corev1listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
)

// newController makes virtual-kubelet's pod controller: one for all bases, for
// one a base would cost goroutines and memory a base. It hands pods over, again and again
// until that succeeds.
func (p *Pods) newController() (*vknode.PodController, error) {
	config := vknode.PodControllerConfig{
		PodClient:         noWrites{},
		PodInformer:       podInformer{p.facade},
		EventRecorder:     noEvents{},
		Provider:          p.handover,
		ConfigMapInformer: noConfigMaps{},
		SecretInformer:    noSecrets{},
		ServiceInformer:   noServices{},

		SyncPodsFromKubernetesRateLimiter:       podRetries(),
		DeletePodsFromKubernetesRateLimiter:     podRetries(),
		SyncPodsFromKubernetesShouldRetryFunc:   p.retryHandover,
		DeletePodsFromKubernetesShouldRetryFunc: retryAlways,
		SkipDownwardAPIResolution:               true, // the handover does it
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

// podRetries delays a pod's first turn by a millisecond: the controller's own
// default is a bucket for ten pods a second.
func podRetries() workqueue.TypedRateLimiter[any] {
	return workqueue.NewTypedItemExponentialFailureRateLimiter[any](time.Millisecond, handoverRetryMax)
}

// retryAlways never gives a pod up; the default does after 20 tries.
func retryAlways(context.Context, string, int, time.Time, error) (*time.Duration, error) {
	return nil, nil
}

// retryHandover never gives a pod up either, says when to try again, and tells what stands
// in the way.
func (p *Pods) retryHandover(_ context.Context, key string, _ int, _ time.Time, err error) (*time.Duration, error) {
	if later, ok := errors.AsType[laterError](err); ok {
		return &later.wait, nil
	}
	why := err.Error()
	if unresolved, ok := errors.AsType[unresolvedError](err); ok {
		why = unresolved.Error() // without what virtual-kubelet puts before it
	}
	again, pod := p.store.notHandedOver(key, why, time.Now())
	if pod != nil {
		p.deps.Recorder.Event(pod, corev1.EventTypeWarning, ReasonFailed, clip("Error: "+why))
	}
	return &again, nil
}

// noEvents drops what virtual-kubelet tells, one of each update of a pod: the Events of
// package plan say what happened, and those of the handover why it failed.
type noEvents struct{ record.EventRecorder }

func (noEvents) Event(runtime.Object, string, string, string)          {}
func (noEvents) Eventf(runtime.Object, string, string, string, ...any) {}

// virtual-kubelet wants informers of all ConfigMaps, Secrets and Services of the cluster,
// to resolve environments. It asks them for listers only, and uses none.
type (
	noConfigMaps struct {
		corev1informers.ConfigMapInformer
	}
	noSecrets  struct{ corev1informers.SecretInformer }
	noServices struct {
		corev1informers.ServiceInformer
	}
)

func (noConfigMaps) Lister() corev1listers.ConfigMapLister { return nil }
func (noSecrets) Lister() corev1listers.SecretLister       { return nil }
func (noServices) Lister() corev1listers.ServiceLister     { return nil }
