package pods

import (
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// slim keeps the cache of pods small, which each replica has of all module pods: it drops
// what nobody here reads. What a pod asks for and a base cannot give stays, to be told.
//
// No pod is written back as the cache has it: statuses are patched.
func slim(obj any) (any, error) {
	pod, ok := obj.(*corev1.Pod)
	if !ok {
		return obj, nil
	}
	pod.ManagedFields = nil
	if _, has := pod.Annotations[corev1.LastAppliedConfigAnnotation]; has {
		pod.Annotations = maps.Clone(pod.Annotations)
		delete(pod.Annotations, corev1.LastAppliedConfigAnnotation)
	}
	s := &pod.Spec
	s.Affinity, s.Tolerations, s.TopologySpreadConstraints, s.NodeSelector = nil, nil, nil, nil
	s.SecurityContext, s.Overhead, s.SchedulingGates = nil, nil, nil
	s.DNSPolicy, s.SchedulerName, s.PriorityClassName = "", "", ""
	s.Priority, s.PreemptionPolicy, s.EnableServiceLinks, s.AutomountServiceAccountToken = nil, nil, nil, nil
	s.Volumes = slices.DeleteFunc(s.Volumes, func(v corev1.Volume) bool { return isOfAccount(v.Name) })
	for _, containers := range [][]corev1.Container{s.Containers, s.InitContainers} {
		for i := range containers {
			slimContainer(&containers[i])
		}
	}
	return pod, nil
}

func slimContainer(c *corev1.Container) {
	c.SecurityContext, c.ResizePolicy = nil, nil
	c.TerminationMessagePath, c.TerminationMessagePolicy, c.ImagePullPolicy = "", "", ""
	c.VolumeMounts = slices.DeleteFunc(c.VolumeMounts, func(m corev1.VolumeMount) bool { return isOfAccount(m.Name) })
}

// isOfAccount says whether a volume is the one that the API server gives every pod, with
// its service account's token.
func isOfAccount(volume string) bool { return strings.HasPrefix(volume, "kube-api-access-") }

// skeleton is what virtual-kubelet is shown of a pod: what decides whether it is handed
// over. It keeps, copies and compares whole pods.
func skeleton(pod *corev1.Pod) *corev1.Pod {
	s := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{
		Namespace: pod.Namespace, Name: pod.Name, UID: pod.UID,
		DeletionTimestamp: pod.DeletionTimestamp, DeletionGracePeriodSeconds: pod.DeletionGracePeriodSeconds,
	}}
	s.Spec.NodeName, s.Status.Phase = pod.Spec.NodeName, pod.Status.Phase
	for _, c := range pod.Spec.Containers {
		s.Spec.Containers = append(s.Spec.Containers, corev1.Container{Name: c.Name, Image: c.Image})
	}
	return s
}

// concernsHandover says whether virtual-kubelet has to hear of a change of a pod. Of what a
// pod asks for only images can change, and with one its environment is resolved anew.
func concernsHandover(was, is *corev1.Pod) bool {
	switch {
	case !was.DeletionTimestamp.Equal(is.DeletionTimestamp):
		return true
	}
	return !sameImages(was.Spec.Containers, is.Spec.Containers)
}

func sameImages(a, b []corev1.Container) bool {
	return slices.EqualFunc(a, b, func(x, y corev1.Container) bool { return x.Name == y.Name && x.Image == y.Image })
}
