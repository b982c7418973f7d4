package workloads

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"
)

// typical is a Pod as an API server gives it, about 4 KB as JSON.
func typical(i int) *corev1.Pod {
	p := aPod(fmt.Sprintf("base-7d9c5b6f4d-%05d", i), fmt.Sprintf("10.%d.%d.%d", i>>16&255, i>>8&255, i&255))
	p.Annotations = map[string]string{"cni.projectcalico.org/containerID": fmt.Sprintf("%064d", i), "cni.projectcalico.org/podIP": p.Status.PodIP}
	p.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "base-7d9c5b6f4d", UID: p.UID}}
	p.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubelet", FieldsV1: metav1.NewFieldsV1(strings.Repeat("x", 1500))}}
	for n := range 2 {
		c := corev1.Container{Name: fmt.Sprint("c", n), Image: fmt.Sprint("registry/base:", n), Env: make([]corev1.EnvVar, 15), VolumeMounts: make([]corev1.VolumeMount, 3)}
		for e := range c.Env {
			c.Env[e] = corev1.EnvVar{Name: fmt.Sprint("SETTING_", e), Value: fmt.Sprint("value-", i, e)}
		}
		p.Spec.Containers = append(p.Spec.Containers, c)
		p.Status.ContainerStatuses = append(p.Status.ContainerStatuses, corev1.ContainerStatus{Name: c.Name, ImageID: fmt.Sprintf("sha256:%064d", i)})
	}
	p.Status.Conditions = make([]corev1.PodCondition, 5)
	return p
}

// BenchmarkMemoryOfAPod compares what a Pod costs in the cache, in bytes, with what it
// would cost as it comes.
func BenchmarkMemoryOfAPod(b *testing.B) {
	asItComes := func(obj any) (any, error) { return obj, nil }
	for name, keep := range map[string]cache.TransformFunc{"as it comes": asItComes, "as it is kept": shrink} {
		b.Run(name, func(b *testing.B) {
			const pods = 5000
			var before, after runtime.MemStats
			for b.Loop() {
				kept := make([]any, 0, pods)
				runtime.GC()
				runtime.ReadMemStats(&before)
				for i := range pods {
					obj, err := keep(typical(i))
					if err != nil {
						b.Fatal(err)
					}
					kept = append(kept, obj)
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(kept)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/pods, "B/pod")
		})
	}
}
