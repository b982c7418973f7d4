package provider

import (
	"context"
	"errors"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/record"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
)

// writePods ends the pods that are finished, writes what the others should show, and
// records Events. It fails where a pod that is to be made anew elsewhere is not deleted.
func (p *Provider) writePods(ctx context.Context, o observation, w lifecycle.Write) error {
	for _, s := range w.Finish {
		p.pods.Finish(ctx, s)
	}
	for _, s := range w.Pods {
		p.pods.Write(ctx, s.Pod.Pod, s.Status)
	}
	displaced, err := displace(ctx, p.pods, w.Displace)
	byUID := map[types.UID]*corev1.Pod{}
	for _, pod := range o.facts.Pods {
		byUID[pod.UID] = pod.Pod
	}
	told, left := o.events.spend(append(w.Events, displaced...), time.Now())
	p.meter.EventsDropped(droppedLeftOut, left)
	for _, e := range told {
		tell(p.deps.Recorder, o.node, byUID[e.Pod], e)
	}
	return err
}

// displace deletes pods that are made anew elsewhere, and gives what is told of those that it
// could.
func displace(ctx context.Context, on *seenPods, displaced []*corev1.Pod) (told []plan.Event, err error) {
	for _, pod := range displaced {
		if failed := on.Displace(ctx, pod); failed != nil {
			err = errors.Join(err, failed)
			continue
		}
		told = append(told, plan.Event{
			Pod: pod.UID, Reason: plan.ReasonBasePodDeleted,
			Message: "Deleted, so that another is made elsewhere: the Pod in which its base runs is being deleted",
		})
	}
	return told, err
}

// tell records an Event on a pod, or on the Node where it names none.
func tell(to record.EventRecorder, node string, pod *corev1.Pod, e plan.Event) {
	kind := corev1.EventTypeNormal
	if e.Warning {
		kind = corev1.EventTypeWarning
	}
	switch {
	case pod != nil:
		to.Event(pod, kind, e.Reason, e.Message)
	case e.Pod == "":
		to.Event(nodeRef(node), kind, e.Reason, e.Message)
	}
}

// nodeRef names a Node in an Event as kubelets do: its name is its UID there.
func nodeRef(name string) *corev1.ObjectReference {
	return &corev1.ObjectReference{Kind: "Node", APIVersion: "v1", Name: name, UID: types.UID(name)}
}
