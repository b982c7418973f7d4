package pods

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
)

// Write has a pod's new status written, and returns at once. It does nothing once ctx has
// ended. What most often holds for a moment only is written after one, unless there is more
// to tell by then. What fails is tried again until the Node is forgotten;
// Writing tells when it has ended.
func (p *Pods) Write(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) {
	if ctx.Err() != nil {
		return
	}
	p.meterReady(pod.Status, status)
	w := p.store.begin(pod, status)
	if w == nil {
		return
	}
	pause := time.Duration(0)
	if w.passing {
		pause = passingPause
	}
	p.writer.add(statusKey{pod.Spec.NodeName, pod.UID}, pause)
}

// Hurry has the statuses of a Node's pods written now that wait for a moment: somebody waits for Writing.
func (p *Pods) Hurry(node string) {
	for _, uid := range p.store.hurry(node) {
		p.writer.add(statusKey{node, uid}, 0)
	}
}

// meterReady counts the time from binding to readiness, once a pod.
func (p *Pods) meterReady(was, is corev1.PodStatus) {
	if readies(was, is) {
		p.deps.Meter.BoundToReady(holds(is, corev1.PodReady).Sub(holds(is, corev1.PodScheduled).Time))
	}
}

// readies says of a pod's new status that it is the first to say Ready since it was bound.
func readies(was, is corev1.PodStatus) bool {
	if holds(was, corev1.ContainersReady) != nil {
		return false
	}
	bound, ready := holds(is, corev1.PodScheduled), holds(is, corev1.PodReady)
	return !bound.IsZero() && !ready.IsZero()
}

// holds gives since when a condition is true; nil if it is not.
func holds(status corev1.PodStatus, kind corev1.PodConditionType) *metav1.Time {
	for _, c := range status.Conditions {
		if c.Type == kind && c.Status == corev1.ConditionTrue {
			return &c.LastTransitionTime
		}
	}
	return nil
}

// Finish ends a pod whose modules are gone: it is deleted from the API at once, and
// forgotten. Where the deletion fails the pod stays, to be finished again. One that
// finalizers keep gets its last status, which others may wait for, and is deleted once.
func (p *Pods) Finish(ctx context.Context, s plan.PodStatus) {
	if s.Pod.Gone || p.remove(ctx, s.Pod.Pod, s.Status) {
		p.Drop(s.Pod.Pod)
	}
}

// remove deletes a pod from the API and says whether that has it no more, or for its
// finalizers only. Then its last status is written: without one nobody could read it.
func (p *Pods) remove(ctx context.Context, pod *corev1.Pod, status corev1.PodStatus) bool {
	p.store.cancel(pod)
	if len(pod.Finalizers) > 0 && !equality.Semantic.DeepEqual(pod.Status, status) {
		_, err := p.patchStatus(ctx, newWrite(pod, status))
		switch {
		case err == nil, apierrors.IsNotFound(err):
		default:
			p.deps.Log.Warn("last status not written", zap.String("pod", keyOf(pod)), zap.Error(err))
		}
	}
	if p.store.isDeleted(pod) {
		return true
	}
	if err := p.delete(ctx, pod, atOnce); err != nil {
		p.deps.Log.Warn("pod not deleted", zap.String("pod", keyOf(pod)), zap.Error(err))
		return false
	}
	p.store.deleted(pod)
	return true
}

// Evict deletes the pods on a Node from the API, so that their modules are placed anew.
// It stops at the first that cannot be deleted.
func (p *Pods) Evict(ctx context.Context, node string) error {
	for _, pod := range p.InCluster(node) {
		if err := p.delete(ctx, pod, atOnce); err != nil {
			return fmt.Errorf("delete pod %s: %w", keyOf(pod), err)
		}
	}
	return nil
}

// Displace begins the deletion of a pod, with the grace that it asks for, so that its
// controller makes another one elsewhere.
func (p *Pods) Displace(ctx context.Context, pod *corev1.Pod) error {
	if err := p.delete(ctx, pod, nil); err != nil {
		return fmt.Errorf("begin to delete pod %s: %w", keyOf(pod), err)
	}
	return nil
}

// atOnce is the grace, in seconds, of a pod whose modules are gone.
var atOnce = new(int64(0))

// delete deletes a pod, unless the base's claim is lost; a grace of nil is its own. One that is
// gone, or another one of the name, is well.
func (p *Pods) delete(ctx context.Context, pod *corev1.Pod, grace *int64) error {
	if !p.hooks.MayWrite(pod.Spec.NodeName) {
		return errNotHeld
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	opts := metav1.DeleteOptions{GracePeriodSeconds: grace, Preconditions: metav1.NewUIDPreconditions(string(pod.UID))}
	err := p.deps.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, opts)
	p.deps.Meter.Wrote("pod", err)
	switch {
	case apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	}
	return err
}
