package provider

import (
	"testing"
	"testing/synctest"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	metadatafake "k8s.io/client-go/metadata/fake"

	"module-controller/provider/plan"
)

// A pod may be seen before the ReplicaSet that made it. Nothing is done for it until that
// tells of which revision it is, and then at once; or until it is clear that nothing will.
func TestAPodWaitsUntilItsRevisionIsKnown(t *testing.T) {
	for name, comes := range map[string]bool{"its ReplicaSet comes": true, "its ReplicaSet never comes": false} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := running(t)
				p.serves()
				yes := true
				pod := podOn("orders")
				pod.OwnerReferences = []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "orders-1", UID: "set", Controller: &yes}}
				p.binds(pod)
				p.passes(time.Second)
				if log := p.base.log(); len(log) > 0 {
					t.Fatalf("the base was told to %v", log)
				}
				if comes {
					p.sets(&metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: "orders-1", Namespace: pod.Namespace, UID: "set"}})
					p.passes(100 * time.Millisecond)
				} else {
					p.passes(1500 * time.Millisecond)
				}
				if !p.base.has(orders) {
					t.Errorf("it is not installed; the base was told to %v", p.base.log())
				}
			})
		})
	}
}

// sets makes a ReplicaSet with the label of module pods.
func (p *testProvider) sets(set *metav1.PartialObjectMetadata) {
	p.t.Helper()
	set.TypeMeta = metav1.TypeMeta{APIVersion: appsv1.SchemeGroupVersion.String(), Kind: "ReplicaSet"}
	set.Labels = map[string]string{plan.LabelComponent: plan.ComponentModule}
	all := p.deps.Metadata.Resource(appsv1.SchemeGroupVersion.WithResource("replicasets")).Namespace(set.Namespace)
	_, err := all.(metadatafake.MetadataClient).CreateFake(set, metav1.CreateOptions{})
	must(p.t, err)
}
