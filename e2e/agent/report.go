package agent

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// report writes the pod's status whenever it changed, and tries until that worked or
// the pod is gone, until ctx ends.
func (w *podWorker) report(ctx context.Context) {
	for {
		select {
		case <-w.changed:
		case <-ctx.Done():
			return
		}
		w.insist(ctx, "write status", w.write)
	}
}

// remove shows that the pod has ended and removes it from the API.
func (w *podWorker) remove(ctx context.Context) {
	w.over()
	w.insist(ctx, "write last status", w.write)
	w.insist(ctx, "delete pod", func(ctx context.Context) error {
		pod := w.seen()
		return w.agent.o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: &w.uid},
		})
	})
}

// insist does something with the pod until it worked, the pod is gone or ctx ends.
func (w *podWorker) insist(ctx context.Context, what string, do func(context.Context) error) {
	for {
		once, cancel := context.WithTimeout(ctx, callTimeout)
		err := do(once)
		cancel()
		if err == nil || ctx.Err() != nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return // a conflict: another pod has the name
		}
		w.agent.log.Error(what, "pod", w.name, "error", err)
		timer := time.NewTimer(retryAfter)
		select {
		case <-timer.C:
		case <-w.gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

// write writes what the pod shows now.
func (w *podWorker) write(ctx context.Context) error {
	w.mu.Lock()
	pod, status := w.pod, w.status.DeepCopy()
	w.mu.Unlock()
	status.ObservedGeneration = pod.Generation
	patch, err := json.Marshal(struct {
		Metadata map[string]types.UID `json:"metadata"` // another pod of the name refuses it
		Status   *corev1.PodStatus    `json:"status"`
	}{map[string]types.UID{"uid": w.uid}, status})
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	_, err = w.agent.o.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
