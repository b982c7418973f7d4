package provider

import (
	"context"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
)

// show writes what the pods should show, ends those that are finished, and tells
// what happened.
func (p *Provider) show(ctx context.Context, b *base, out plan.Output) {
	pods := map[types.UID]*corev1.Pod{}
	for _, s := range out.Statuses {
		pods[s.Pod.UID] = s.Pod.Pod
		switch {
		case s.Finished:
			p.finish(ctx, s)
		case s.Pod.Gone:
		case !equality.Semantic.DeepEqual(s.Pod.Status, s.Status):
			p.meterReady(s)
			p.pods.write(s.Pod.Pod, s.Status)
		}
	}
	for _, e := range out.Events {
		kind := corev1.EventTypeNormal
		if e.Warning {
			kind = corev1.EventTypeWarning
		}
		if pod := pods[e.Pod]; pod != nil {
			p.deps.Recorder.Event(pod, kind, e.Reason, e.Message)
		} else if b.written != nil && e.Pod == "" {
			p.deps.Recorder.Event(nodeRef(b), kind, e.Reason, e.Message)
		}
	}
}

// nodeRef names a Node in an Event as kubelets do: its name is its UID there.
func nodeRef(b *base) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: b.node, UID: types.UID(b.node)}
}

// finish ends a pod whose modules are gone: its last status is written, and it is
// deleted from the API at once.
func (p *Provider) finish(ctx context.Context, s plan.PodStatus) {
	pod := s.Pod.Pod
	if s.Pod.Gone {
		p.pods.drop(pod)
		return
	}
	client := p.deps.Client.CoreV1()
	if !equality.Semantic.DeepEqual(pod.Status, s.Status) {
		last := pod.DeepCopy()
		last.Status = s.Status
		if _, err := (podClient{client, p}).Pods(pod.Namespace).UpdateStatus(ctx, last, metav1.UpdateOptions{}); err != nil && !apierrors.IsNotFound(err) {
			p.log.Warn("last status not written", zap.String("pod", keyOf(pod)), zap.Error(err))
		}
	}
	opts := metav1.NewDeleteOptions(0)
	opts.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
	err := client.Pods(pod.Namespace).Delete(ctx, pod.Name, *opts)
	p.meter.Wrote("pod", err)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		p.log.Warn("pod not deleted", zap.String("pod", keyOf(pod)), zap.Error(err))
		return // it is Finished again at the next look
	}
	p.pods.drop(pod)
}

// meterReady counts the time from binding to readiness, once a pod.
func (p *Provider) meterReady(s plan.PodStatus) {
	var bound, ready metav1.Time
	for _, c := range s.Status.Conditions {
		switch {
		case c.Type == corev1.PodScheduled:
			bound = c.LastTransitionTime
		case c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue:
			ready = c.LastTransitionTime
		}
	}
	if !podReady(s.Pod.Pod) && !ready.IsZero() && !bound.IsZero() {
		p.meter.BoundToReady(ready.Sub(bound.Time))
	}
}
