package plan

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"module-controller/tunnel"
)

// setResources makes the metaspace the Node's memory. Allocatable is what the base itself
// leaves of it. A Node that shows what its base told before keeps it until the base tells it
// anew. What a base claims beyond MaxMemory and MaxCPUs does not count: it would win each
// scoring of the scheduler.
func setResources(in NodeInput, node *corev1.Node) {
	if _, told := node.Status.Capacity[corev1.ResourceMemory]; told && in.Health == nil {
		return
	}
	capacity, cpus := in.Config.DefaultMetaspace, in.Config.CPUs
	if limit := limitOf(in.Health); limit > 0 {
		capacity = min(limit, in.Config.MaxMemory)
	}
	if in.Health != nil && in.Health.CPUs > 0 {
		cpus = min(int64(in.Health.CPUs), in.Config.MaxCPUs)
	}
	setQuantities(&node.Status.Capacity, capacity, cpus, in.Config)
	setQuantities(&node.Status.Allocatable, allocatable(in, node, capacity), cpus, in.Config)
}

// allocatable is what a base leaves of its metaspace to modules. The scheduler takes the
// requests of pods off, so what is in use for them already is added back. A base without a
// limit leaves all: what it uses itself takes nothing away. A change under 1/64 of the
// capacity is not worth a write.
func allocatable(in NodeInput, node *corev1.Node, capacity int64) int64 {
	if limitOf(in.Health) == 0 {
		return capacity
	}
	own := max(max(in.Health.UsedMemory, 0)-in.Loaded, 0)
	const mib = 1 << 20
	free := max(capacity-own, 0) / mib * mib
	was, shown := node.Status.Allocatable[corev1.ResourceMemory]
	if before := was.Value(); shown && before <= capacity && max(before-free, free-before) < capacity/64 {
		return before
	}
	return free
}

// limitOf is how much metaspace a base can use, in bytes; 0 where it has no limit or did not
// tell it.
func limitOf(h *tunnel.Health) int64 {
	if h == nil {
		return 0
	}
	return max(h.MaxMemory, 0)
}

func setQuantities(list *corev1.ResourceList, memory, cpus int64, c NodeConfig) {
	if *list == nil {
		*list = corev1.ResourceList{}
	}
	for name, q := range map[corev1.ResourceName]*resource.Quantity{
		corev1.ResourceMemory:           resource.NewQuantity(memory, resource.BinarySI),
		corev1.ResourceCPU:              resource.NewQuantity(cpus, resource.DecimalSI),
		corev1.ResourcePods:             resource.NewQuantity(c.Pods, resource.DecimalSI),
		corev1.ResourceEphemeralStorage: resource.NewQuantity(c.EphemeralStorage, resource.BinarySI),
	} {
		if was, ok := (*list)[name]; !ok || was.Cmp(*q) != 0 {
			(*list)[name] = *q
		}
	}
}

// MemoryRequests is the memory, in bytes, that the scheduler reserves for modules. Of several
// pods that ask for one module only the least counts, for the base has the module once. A pod
// that is gone or has ended reserves nothing.
func MemoryRequests(pods []Pod) map[tunnel.ModuleKey]int64 {
	requests := map[tunnel.ModuleKey]int64{}
	for _, pod := range pods {
		if pod.Gone || terminal(pod) {
			continue
		}
		for _, c := range pod.Spec.Containers {
			key, bytes := keyOf(c), c.Resources.Requests.Memory().Value()
			if least, asked := requests[key]; !asked || bytes < least {
				requests[key] = bytes
			}
		}
	}
	return requests
}

// A base whose metaspace is used by more than pressureFrom percent has no room for modules
// that request nothing, and has again from reliefFrom percent down.
const (
	pressureFrom = 95
	reliefFrom   = 90
)

// memoryPressure says whether the metaspace is full. Kubernetes makes a taint of it, which
// keeps pods away whose requests the scheduler cannot count. Its message has no number, or it
// would be written with each health.
func memoryPressure(in NodeInput, node *corev1.Node) corev1.NodeCondition {
	c := corev1.NodeCondition{Type: corev1.NodeMemoryPressure, Status: corev1.ConditionFalse, Reason: ReasonNotMeasured, Message: "The base has told no limit of its metaspace"}
	limit := limitOf(in.Health)
	switch {
	case limit == 0:
		return c
	case in.Health.UsedMemory < 0:
		c.Message = "The base does not tell what it uses of its metaspace"
		return c
	}
	from := int64(pressureFrom)
	if conditionIs(node, c.Type, corev1.ConditionTrue) {
		from = reliefFrom
	}
	if in.Health.UsedMemory > limit/100*from {
		c.Status, c.Reason, c.Message = corev1.ConditionTrue, ReasonInsufficientMetaspace, fmt.Sprintf("The base uses more than %d %% of its metaspace; until it uses less than %d %%, only pods that tolerate it are scheduled here", pressureFrom, reliefFrom)
		return c
	}
	c.Reason, c.Message = ReasonSufficientMetaspace, "The base has metaspace left"
	return c
}

func conditionIs(node *corev1.Node, t corev1.NodeConditionType, s corev1.ConditionStatus) bool {
	return slices.ContainsFunc(node.Status.Conditions, func(c corev1.NodeCondition) bool { return c.Type == t && c.Status == s })
}

// Excess explains that a base claims more than it is believed to have; empty where it does
// not, and where it said nothing.
func (c NodeConfig) Excess(h *tunnel.Health) string {
	if h == nil || (h.MaxMemory <= c.MaxMemory && int64(h.CPUs) <= c.MaxCPUs) {
		return ""
	}
	return fmt.Sprintf("The base claims %s of metaspace and %d CPUs; the Node shows %s and %d at most. Raise the limits if it has them",
		resource.NewQuantity(h.MaxMemory, resource.BinarySI), h.CPUs, resource.NewQuantity(c.MaxMemory, resource.BinarySI), c.MaxCPUs)
}
