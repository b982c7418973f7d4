package pods

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// podClient is the client that virtual-kubelet writes with. A status goes out as
// a patch of our own fields, bound to the pod's UID: an update would carry labels
// and annotations back as the cache had them, and fail whenever that lags.
type podClient struct {
	corev1client.PodsGetter
	pods *Pods
}

func (c podClient) Pods(namespace string) corev1client.PodInterface {
	return podsIn{c.PodsGetter.Pods(namespace), c.pods}
}

var errNotHeld = errors.New("the base's claim is not held now")

type podsIn struct {
	corev1client.PodInterface
	pods *Pods
}

// UpdateStatus writes a pod's status, unless the base's claim is lost. A pod that
// is another one of that name counts as not found. A write that is refused is tried
// again until the pod is shown no more, or the claim is good again.
func (p podsIn) UpdateStatus(ctx context.Context, pod *corev1.Pod, _ metav1.UpdateOptions) (*corev1.Pod, error) {
	if !p.pods.hooks.MayWrite(pod.Spec.NodeName) {
		return nil, errNotHeld
	}
	patch, err := statusPatch(pod)
	if err != nil {
		return nil, fmt.Errorf("patch status of pod %s: %w", keyOf(pod), err)
	}
	last := p.pods.store.lastWrite(pod)
	written, err := p.Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	p.pods.deps.Meter.Wrote("pod", err)
	if apierrors.IsConflict(err) {
		return nil, apierrors.NewNotFound(corev1.Resource("pods"), pod.Name)
	}
	if err != nil {
		return nil, err
	}
	p.pods.store.wrote(last, written.ResourceVersion)
	return written, nil
}

// Delete does nothing. virtual-kubelet deletes a pod from the API when its
// containers don't run or its grace has passed, whatever became of its modules; here
// a pod goes when they are gone from the base, however long the base is away.
func (p podsIn) Delete(context.Context, string, metav1.DeleteOptions) error { return nil }

// statusPatch makes a strategic merge patch that leads to the pod's status
// whatever the API server has: what a merge would leave in place is nulled or
// replaced. Conditions of types that the status does not have stay.
func statusPatch(pod *corev1.Pod) ([]byte, error) {
	raw, err := json.Marshal(pod.Status)
	if err != nil {
		return nil, err
	}
	var status map[string]any
	if err := json.Unmarshal(raw, &status); err != nil {
		return nil, err
	}
	nullWhereAbsent(status, "reason", "message")
	if conditions, ok := status["conditions"].([]any); ok {
		for _, c := range conditions {
			nullWhereAbsent(c.(map[string]any), "reason", "message", "observedGeneration")
		}
	}
	for _, field := range []string{"podIPs", "hostIPs"} {
		if ips, ok := status[field].([]any); ok {
			status[field] = append([]any{map[string]any{"$patch": "replace"}}, ips...)
		}
	}
	return json.Marshal(map[string]any{"metadata": map[string]any{"uid": pod.UID}, "status": status})
}

func nullWhereAbsent(m map[string]any, keys ...string) {
	for _, key := range keys {
		if _, ok := m[key]; !ok {
			m[key] = nil
		}
	}
}
