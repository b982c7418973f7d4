package pods

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/errdefs"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/record"
)

// Reasons of Events on pods, as kubelets name them.
const (
	ReasonFailed           = "Failed"                          // the environment cannot be resolved
	ReasonInvalidVariables = "InvalidEnvironmentVariableNames" // keys that are no names were skipped
)

// handover is virtual-kubelet's pod lifecycle handler: it resolves a pod's environment and
// hands the pod over to the store. It knows no pod, so that virtual-kubelet compares
// nothing and hands over each time.
type handover struct {
	facade *facade
	store  *store
	reader *reader
	on     func(node string) host
	events record.EventRecorder
}

// laterError says that a pod is to be handed over again after a while: what it refers to
// is to be read in turn.
type laterError struct{ wait time.Duration }

func (e laterError) Error() string { return fmt.Sprintf("to be read in %s", e.wait) }

// unresolvedError is why an environment cannot be resolved.
type unresolvedError struct{ error }

func (e unresolvedError) Unwrap() error { return e.error }

// CreatePod implements virtual-kubelet's PodLifecycleHandler: a pod is new, its image was
// changed, or it could not be handed over before.
func (h *handover) CreatePod(ctx context.Context, told *corev1.Pod) error {
	pod, since := h.facade.get(told.Namespace, told.Name)
	switch {
	case pod == nil, pod.UID != told.UID, h.store.has(pod):
		return nil // it is gone, and virtual-kubelet hears of that too, or nothing differs
	}
	sources, again := h.reader.gather(ctx, referencesOf(pod), since)
	if again > 0 {
		return laterError{again}
	}
	var skipped []string
	resolved := make([]corev1.Container, 0, len(pod.Spec.Containers))
	for _, c := range pod.Spec.Containers {
		env, keys, err := resolve(pod, c, sources, h.on(pod.Spec.NodeName))
		if err != nil {
			return unresolvedError{err}
		}
		resolved = append(resolved, corev1.Container{Name: c.Name, Image: c.Image, Env: env})
		skipped = append(skipped, keys...)
	}
	h.store.put(pod, resolved)
	if len(skipped) > 0 {
		h.events.Event(pod, corev1.EventTypeWarning, ReasonInvalidVariables, clip("Skipped keys that are no names of environment variables: "+strings.Join(skipped, ", ")))
	}
	return nil
}

// maxMessage is what the API server takes of an Event's message, in bytes.
const maxMessage = 1024

func clip(text string) string {
	if len(text) <= maxMessage {
		return text
	}
	return strings.ToValidUTF8(text[:maxMessage-len("...")], "") + "..."
}

// UpdatePod implements virtual-kubelet's PodLifecycleHandler. It is not called, for no pod
// is known.
func (h *handover) UpdatePod(ctx context.Context, pod *corev1.Pod) error {
	return h.CreatePod(ctx, pod)
}

// DeletePod implements virtual-kubelet's PodLifecycleHandler. The facade has told the store
// of the deletion.
func (h *handover) DeletePod(context.Context, *corev1.Pod) error { return nil }

// GetPod implements virtual-kubelet's PodLifecycleHandler.
func (h *handover) GetPod(_ context.Context, namespace, name string) (*corev1.Pod, error) {
	return nil, errdefs.NotFoundf("pod %s/%s is not known", namespace, name)
}

// GetPodStatus implements virtual-kubelet's PodLifecycleHandler.
func (h *handover) GetPodStatus(_ context.Context, namespace, name string) (*corev1.PodStatus, error) {
	return nil, errdefs.NotFoundf("pod %s/%s is not known", namespace, name)
}

// GetPods implements virtual-kubelet's PodLifecycleHandler. virtual-kubelet asks at its
// start only, to delete pods that the API server does not know.
func (h *handover) GetPods(context.Context) ([]*corev1.Pod, error) { return nil, nil }

// NotifyPods implements virtual-kubelet's PodNotifier. It is never notified: it would
// skip, compare and forget statuses by rules of its own.
func (h *handover) NotifyPods(context.Context, func(*corev1.Pod)) {}
