package provider

import (
	"context"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
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
			p.pods.Finish(ctx, s)
		case s.Pod.Gone:
		case !equality.Semantic.DeepEqual(s.Pod.Status, s.Status):
			p.pods.Write(ctx, s.Pod.Pod, s.Status)
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
