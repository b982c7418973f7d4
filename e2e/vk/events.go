package vk

import (
	"context"
	"fmt"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
)

// interpreter tells the suite in virtual-kubelet's words what the product tells in a
// kubelet's. A kubelet says "Failed" of a pod with a reference that is missing, and nothing
// of one that may be missing.
type interpreter struct {
	client kubernetes.Interface
	env    string          // the namespace
	told   map[string]bool // Events, by what they are told as
}

// missing are the suite's reasons, by how the product's message begins.
var missing = map[string]string{
	`Error: secret "`:    "MandatorySecretNotFound",
	`Error: configmap "`: "MandatoryConfigMapNotFound",
}

// run interprets until ctx ends.
func (i *interpreter) run(ctx context.Context) error {
	i.told = map[string]bool{}
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := i.look(ctx); err != nil && ctx.Err() == nil {
			return err
		}
	}
}

func (i *interpreter) look(ctx context.Context) error {
	events, err := i.client.CoreV1().Events(i.env).List(ctx, metav1.ListOptions{FieldSelector: "reason=Failed,type=Warning"})
	if err != nil {
		return fmt.Errorf("list events: %w", err)
	}
	for _, e := range events.Items {
		if reason := reasonOf(e); reason != "" {
			if err := i.tell(ctx, e.InvolvedObject, reason); err != nil {
				return err
			}
		}
	}
	return i.tellOptionals(ctx)
}

// reasonOf is the suite's reason for what an Event of ours says is missing; empty for none.
func reasonOf(e corev1.Event) string {
	for begin, reason := range missing {
		if strings.HasPrefix(e.Message, begin) && strings.Contains(e.Message, "not found") {
			return reason
		}
	}
	return ""
}

// tellOptionals tells of what may be missing, which the product passes over as a kubelet
// does: of those tests only that the pod starts says something of it.
func (i *interpreter) tellOptionals(ctx context.Context) error {
	pods, err := i.client.CoreV1().Pods(i.env).List(ctx, metav1.ListOptions{})
	if err != nil {
		return fmt.Errorf("list pods: %w", err)
	}
	for _, p := range pods.Items {
		for _, reason := range optionals(p) {
			if err := i.tell(ctx, corev1.ObjectReference{Kind: "Pod", Namespace: p.Namespace, Name: p.Name, UID: p.UID}, reason); err != nil {
				return err
			}
		}
	}
	return nil
}

// optionals are the suite's reasons for what a pod's containers refer to and may be missing.
// In the suite's tests it always is.
func optionals(p corev1.Pod) (reasons []string) {
	for _, c := range p.Spec.Containers {
		for _, e := range c.Env {
			switch from := e.ValueFrom; {
			case from == nil:
			case from.SecretKeyRef != nil && *from.SecretKeyRef.Optional:
				reasons = append(reasons, "OptionalSecretNotFound")
			case from.ConfigMapKeyRef != nil && *from.ConfigMapKeyRef.Optional:
				reasons = append(reasons, "OptionalConfigMapNotFound")
			}
		}
	}
	return reasons
}

// tell writes an Event, once for each object and reason.
func (i *interpreter) tell(ctx context.Context, about corev1.ObjectReference, reason string) error {
	key := string(about.UID) + reason
	if i.told[key] {
		return nil
	}
	now := metav1.Now()
	_, err := i.client.CoreV1().Events(i.env).Create(ctx, &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{GenerateName: "interpreted-"},
		InvolvedObject: about, Reason: reason, Type: corev1.EventTypeWarning, FirstTimestamp: now, LastTimestamp: now, Count: 1,
	}, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("tell %s: %w", reason, err)
	}
	i.told[key] = true
	return nil
}
