package pods

import (
	"context"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
)

const messageUnlabelled = "label " + plan.LabelComponent + "=" + plan.ComponentModule + " was taken away: the module is uninstalled"

// leave takes in a module's pod that left the cache of modules and that was not deleted
// here. Somebody deleted it by force, or it lost its label: its module is uninstalled either
// way. One that lost its label would show for ever that it runs, and nobody would confirm
// its deletion: it is ended.
func (s *strangers) leave(pod *corev1.Pod) {
	s.mu.Lock()
	s.left[keyOf(pod)] = pod
	s.mu.Unlock()
	s.see(pod)
}

// settle ends the pod of a name that left, where it is still there without its label.
func (s *strangers) settle(ctx context.Context, key string) error {
	s.mu.Lock()
	pod := s.left[key]
	s.mu.Unlock()
	if pod == nil {
		return nil
	}
	if err := s.disown(ctx, pod, time.Now()); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.left[key] == pod {
		delete(s.left, key)
	}
	return nil
}

// disown ends a pod that is a module no more. Who serves its Node next knows nothing of it.
func (s *strangers) disown(ctx context.Context, pod *corev1.Pod, now time.Time) error {
	switch node := pod.Spec.NodeName; {
	case !s.serves(node):
		return nil
	case !s.mayWrite(node):
		return errNotHeld
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	live, err := s.deps.Client.CoreV1().Pods(pod.Namespace).Get(ctx, pod.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case live.UID != pod.UID, live.Labels[plan.LabelComponent] == plan.ComponentModule, terminal(live.Status), keptByFinalizers(live):
		return nil
	case live.DeletionTimestamp != nil:
		return s.delete(ctx, live)
	}
	w := newWrite(live, plan.DisownedStatus(live, ReasonNotAModule, messageUnlabelled, now))
	_, err = patchStatus(ctx, s.deps, w)
	switch {
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return err
	}
	s.deps.Recorder.Event(live, corev1.EventTypeWarning, ReasonNotAModule, messageUnlabelled)
	return nil
}
