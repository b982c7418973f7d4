package provider

import (
	"context"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
)

// writeNode writes what differs on the base's Node. The base is told what the API server
// has then.
func (p *Provider) writeNode(ctx context.Context, r *entry, w lifecycle.Write) error {
	switch {
	case w.Node == nil:
		return nil
	case w.Was == nil:
		return p.createNode(ctx, r, w.Node)
	}
	node, status, err := p.nodes.patch(ctx, w.Was, w.Node)
	if node != nil {
		r.base.NodeWritten(node, status, time.Now())
	}
	if apierrors.IsNotFound(err) {
		r.base.NodeMissing()
	}
	return err
}

func (p *Provider) createNode(ctx context.Context, r *entry, want *corev1.Node) error {
	node, created, err := p.nodes.create(ctx, want)
	switch {
	case err != nil:
		return err
	case !created:
		r.base.NodeFound(node)
		p.queue.Add(r.id)
		return nil
	}
	p.log.Info("node created", zap.String("node", node.Name), zap.Stringer("base", r.id))
	r.base.NodeWritten(node, true, time.Now())
	return nil
}

// writePods ends the pods that are finished, writes what the others should show, and
// records Events.
func (p *Provider) writePods(ctx context.Context, o observation, w lifecycle.Write) {
	for _, s := range w.Finish {
		p.pods.Finish(ctx, s)
	}
	for _, s := range w.Pods {
		p.pods.Write(ctx, s.Pod.Pod, s.Status)
	}
	byUID := map[types.UID]*corev1.Pod{}
	for _, pod := range o.facts.Pods {
		byUID[pod.UID] = pod.Pod
	}
	for _, e := range w.Events {
		p.event(o.node, byUID[e.Pod], e)
	}
}

// event records an Event on a pod, or on the Node where it names none.
func (p *Provider) event(node string, pod *corev1.Pod, e plan.Event) {
	kind := corev1.EventTypeNormal
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	switch {
	case pod != nil:
		p.deps.Recorder.Event(pod, kind, e.Reason, e.Message)
	case e.Pod == "":
		p.deps.Recorder.Event(nodeRef(node), kind, e.Reason, e.Message)
	}
}

// nodeRef names a Node in an Event as kubelets do: its name is its UID there.
func nodeRef(name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: name, UID: types.UID(name)}
}
