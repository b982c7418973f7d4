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
func (l *life) report(ctx context.Context) {
	for {
		select {
		case <-l.changed:
		case <-ctx.Done():
			return
		}
		l.insist(ctx, "write status", l.write)
	}
}

// remove shows that the pod has ended and removes it from the API.
func (l *life) remove(ctx context.Context) {
	l.over()
	l.insist(ctx, "write last status", l.write)
	l.insist(ctx, "delete pod", func(ctx context.Context) error {
		pod := l.seen()
		return l.agent.o.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, metav1.DeleteOptions{
			GracePeriodSeconds: new(int64(0)), Preconditions: &metav1.Preconditions{UID: &l.uid},
		})
	})
}

// insist does something with the pod until it worked, the pod is gone or ctx ends.
func (l *life) insist(ctx context.Context, what string, do func(context.Context) error) {
	for {
		once, cancel := context.WithTimeout(ctx, callTimeout)
		err := do(once)
		cancel()
		if err == nil || ctx.Err() != nil || apierrors.IsNotFound(err) || apierrors.IsConflict(err) {
			return // a conflict: another pod has the name
		}
		l.agent.log.Error(what, "pod", l.name, "error", err)
		timer := time.NewTimer(retryAfter)
		select {
		case <-timer.C:
		case <-l.gone:
			return
		case <-ctx.Done():
			return
		}
	}
}

// write writes what the pod shows now.
func (l *life) write(ctx context.Context) error {
	l.mu.Lock()
	pod, status := l.pod, l.status.DeepCopy()
	l.mu.Unlock()
	status.ObservedGeneration = pod.Generation
	patch, err := json.Marshal(struct {
		Metadata map[string]types.UID `json:"metadata"` // another pod of the name refuses it
		Status   *corev1.PodStatus    `json:"status"`
	}{map[string]types.UID{"uid": l.uid}, status})
	if err != nil {
		return fmt.Errorf("write status: %w", err)
	}
	_, err = l.agent.o.Client.CoreV1().Pods(pod.Namespace).Patch(ctx, pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	return err
}
