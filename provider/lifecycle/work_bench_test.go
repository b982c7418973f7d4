package lifecycle

import (
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// BenchmarkSameStatus compares the status of a pod that runs with itself, as each Turn of a
// quiet base does, and by reflection alone.
func BenchmarkSameStatus(b *testing.B) {
	now := metav1.NewTime(time.Unix(1, 0))
	of := func() *corev1.PodStatus {
		s := &corev1.PodStatus{
			Phase: corev1.PodRunning, PodIP: "10.0.0.1", PodIPs: []corev1.PodIP{{IP: "10.0.0.1"}}, HostIP: "10.0.0.1", StartTime: &now, QOSClass: corev1.PodQOSBestEffort,
			ContainerStatuses: []corev1.ContainerStatus{{Name: "stock", Ready: true, Image: "https://jars.example/stock-1.0.0.jar", Started: new(true), State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: now}}}},
		}
		for _, t := range []corev1.PodConditionType{corev1.PodScheduled, corev1.PodInitialized, corev1.ContainersReady, corev1.PodReady} {
			s.Conditions = append(s.Conditions, corev1.PodCondition{Type: t, Status: corev1.ConditionTrue, LastTransitionTime: now, ObservedGeneration: 1})
		}
		return s
	}
	for name, same := range map[string]func(was, is *corev1.PodStatus) bool{
		"same":       sameStatus,
		"reflection": func(was, is *corev1.PodStatus) bool { return equality.Semantic.DeepEqual(was, is) },
	} {
		b.Run(name, func(b *testing.B) {
			was, is := of(), of()
			b.ReportAllocs()
			for b.Loop() {
				if !same(was, is) {
					b.Fatal("they differ")
				}
			}
		})
	}
}
