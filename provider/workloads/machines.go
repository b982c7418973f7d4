package workloads

import (
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	informers "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"module-controller/provider/plan"
)

// machine is what is kept of a Node on which Pods run. Of its metadata there is the name.
type machine struct {
	metav1.ObjectMeta
	zone, region string
}

// newMachines watches the Nodes that no base became.
func newMachines(client kubernetes.Interface) (cache.SharedIndexInformer, error) {
	c := informers.NewFilteredNodeInformer(client, 0, cache.Indexers{}, func(o *metav1.ListOptions) {
		o.LabelSelector = plan.LabelComponent + "!=" + plan.ComponentVNode
	})
	return c, c.SetTransform(func(obj any) (any, error) {
		full, ok := obj.(*corev1.Node)
		if !ok {
			return obj, nil
		}
		return &machine{
			ObjectMeta: metav1.ObjectMeta{Name: strings.Clone(full.Name), ResourceVersion: strings.Clone(full.ResourceVersion)},
			zone:       strings.Clone(full.Labels[corev1.LabelTopologyZone]), region: strings.Clone(full.Labels[corev1.LabelTopologyRegion]),
		}, nil
	})
}

// machine gives the Node on which a Pod runs; one without a zone where it is not known.
func (p *Pods) machine(name string) machine {
	if obj, ok, err := p.machines.GetStore().GetByKey(name); ok && err == nil {
		if m, is := obj.(*machine); is {
			return *m
		}
	}
	return machine{}
}
