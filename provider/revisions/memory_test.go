package revisions

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	kruntime "k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"
)

// typicalSet is the metadata of a ReplicaSet as an API server gives it.
func typicalSet(i int) any {
	set := revised(fmt.Sprintf("orders-service-%010d", i), "12")
	set.Annotations["deployment.kubernetes.io/desired-replicas"] = fmt.Sprint(i)
	set.Annotations["kubernetes.io/change-cause"] = strings.Repeat("c", 100)
	for n := range 8 {
		set.Labels[fmt.Sprint("app.kubernetes.io/label-", n)] = fmt.Sprint("value-", i, n)
	}
	set.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kube-controller-manager", FieldsV1: metav1.NewFieldsV1(strings.Repeat("x", 1500))}}
	return set
}

// typicalRevision is a ControllerRevision with a template of 3 KB.
func typicalRevision(i int) any {
	r := aControllerRevision(fmt.Sprintf("orders-service-%010d", i), ref("apps/v1", "DaemonSet", "orders"), 12)
	r.Data = kruntime.RawExtension{Raw: []byte(strings.Repeat("x", 3000))}
	r.UID = "5ba1c8c6-0a8c-4b5a-9d7e-d8f1d3a6c111"
	return r
}

// BenchmarkMemory tells what an object costs in the cache, in bytes, and what it would
// cost as it comes.
func BenchmarkMemory(b *testing.B) {
	asItComes := func(obj any) (any, error) { return obj, nil }
	for name, c := range map[string]struct {
		make func(int) any
		keep cache.TransformFunc
	}{
		"a ReplicaSet's metadata": {typicalSet, asItComes}, "a ReplicaSet as it is kept": {typicalSet, shrinkReplicaSet},
		"a ControllerRevision": {typicalRevision, asItComes}, "a ControllerRevision as it is kept": {typicalRevision, shrinkControllerRevision},
	} {
		b.Run(name, func(b *testing.B) {
			const objects = 10_000
			var before, after runtime.MemStats
			for b.Loop() {
				store := cache.NewStore(cache.DeletionHandlingMetaNamespaceKeyFunc)
				runtime.GC()
				runtime.ReadMemStats(&before)
				for i := range objects {
					obj, err := c.keep(c.make(i))
					if err != nil {
						b.Fatal(err)
					}
					if err := store.Add(obj); err != nil {
						b.Fatal(err)
					}
				}
				runtime.GC()
				runtime.ReadMemStats(&after)
				runtime.KeepAlive(store)
			}
			b.ReportMetric(float64(after.HeapAlloc-before.HeapAlloc)/objects, "B/object")
		})
	}
}
