package plan

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/tunnel"
)

// setResources makes the metaspace the Node's memory. Allocatable is what the base
// itself leaves of it: the scheduler takes the requests of pods off, so what their
// modules use already is added back. A change under 1/64 of the capacity is not
// worth a write. A Node that shows what its base told before keeps it until the base
// tells it anew. What a base claims beyond MaxMemory and MaxCPUs does not count: it would
// win each scoring of the scheduler.
func setResources(in NodeInput, node *corev1.Node) {
	if _, told := node.Status.Capacity[corev1.ResourceMemory]; told && in.Health == nil {
		return
	}
	capacity, used, cpus := in.Config.DefaultMetaspace, int64(0), in.Config.CPUs
	if h := in.Health; h != nil {
		if h.MaxMetaspace > 0 {
			capacity = min(h.MaxMetaspace, in.Config.MaxMemory)
		}
		used = max(h.UsedMetaspace, 0)
		if h.CPUs > 0 {
			cpus = min(int64(h.CPUs), in.Config.MaxCPUs)
		}
	}
	own := max(used-in.Running, 0)
	const mib = 1 << 20
	free := max(capacity-own, 0) / mib * mib
	if was, ok := node.Status.Allocatable[corev1.ResourceMemory]; ok {
		before := was.Value()
		if before <= capacity && max(before-free, free-before) < capacity/64 {
			free = before
		}
	}
	setQuantities(&node.Status.Capacity, capacity, cpus, in.Config.Pods)
	setQuantities(&node.Status.Allocatable, free, cpus, in.Config.Pods)
}

func setQuantities(list *corev1.ResourceList, memory, cpus, pods int64) {
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	for name, q := range map[corev1.ResourceName]*resource.Quantity{
		corev1.ResourceMemory: resource.NewQuantity(memory, resource.BinarySI),
		corev1.ResourceCPU:    resource.NewQuantity(cpus, resource.DecimalSI),
		corev1.ResourcePods:   resource.NewQuantity(pods, resource.DecimalSI),
	} {
		if was, ok := (*list)[name]; !ok || was.Cmp(*q) != 0 {
			(*list)[name] = *q
		}
	}
}

// Excess explains that a base claims more than it is believed to have; empty where it does
// not, and where it said nothing.
func (c NodeConfig) Excess(h *tunnel.Health) string {
	if h == nil || (h.MaxMetaspace <= c.MaxMemory && int64(h.CPUs) <= c.MaxCPUs) {
		return ""
	}
	return fmt.Sprintf("The base claims %s of metaspace and %d CPUs; the Node shows %s and %d at most. Raise the limits if it has them",
		resource.NewQuantity(h.MaxMetaspace, resource.BinarySI), h.CPUs, resource.NewQuantity(c.MaxMemory, resource.BinarySI), c.MaxCPUs)
}
