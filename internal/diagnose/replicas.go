package diagnose

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"

	"module-controller/internal/fleet"
)

// What the controller's own pods show.

// waits gives a container of a pod that waits for one of reasons.
func waits(p *corev1.Pod, reasons ...string) (name string, w *corev1.ContainerStateWaiting) {
	for _, c := range slices.Concat(p.Status.InitContainerStatuses, p.Status.ContainerStatuses) {
		if w := c.State.Waiting; w != nil && slices.Contains(reasons, w.Reason) {
			return c.Name, w
		}
	}
	return "", nil
}

func imagesNotPulled(s *fleet.Snapshot) (all []told) {
	for i := range s.Replicas {
		p := &s.Replicas[i]
		if _, w := waits(p, "ImagePullBackOff", "ErrImagePull", "InvalidImageName", "ErrImageNeverPull"); w != nil {
			all = append(all, told{podObject(p), found{
				cause:    "the image of this controller cannot be pulled",
				remedy:   "correct the image of the StatefulSet (kustomize edit set image), push it, or give the namespace a pull secret",
				evidence: []string{quote("pod "+p.Name, w.Reason+": "+w.Message)},
			}})
		}
	}
	return all
}

func crashes(s *fleet.Snapshot) (all []told) {
	for i := range s.Replicas {
		p := &s.Replicas[i]
		name, w := waits(p, "CrashLoopBackOff")
		if w == nil {
			continue
		}
		says := w.Message
		for _, c := range p.Status.ContainerStatuses {
			if last := c.LastTerminationState.Terminated; c.Name == name && last != nil {
				says = fmt.Sprintf("exit code %d, %s: %s", last.ExitCode, last.Reason, last.Message)
			}
		}
		all = append(all, told{podObject(p), found{
			cause:    "this replica ends again and again",
			remedy:   "read its last words: kubectl logs -p -n " + p.Namespace + " " + p.Name + "; a setting that is refused is named there",
			evidence: []string{quote("pod "+p.Name, says)},
		}})
	}
	return all
}

// replicaOf says what is known of a member's pod.
func replicaOf(s *fleet.Snapshot, name string) []string {
	for i := range s.Replicas {
		if p := &s.Replicas[i]; p.Name == name {
			return []string{fmt.Sprintf("pod %s/%s: %s, ready %t", p.Namespace, p.Name, p.Status.Phase, ready(p))}
		}
	}
	return nil
}

func runs(s *fleet.Snapshot, pod string) bool {
	return slices.ContainsFunc(s.Replicas, func(p corev1.Pod) bool {
		return p.Name == pod && p.Status.Phase == corev1.PodRunning && p.DeletionTimestamp == nil
	})
}

// ready says whether a pod is.
func ready(p *corev1.Pod) bool {
	for _, c := range p.Status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
