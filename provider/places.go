package provider

import (
	"k8s.io/client-go/util/workqueue"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Workloads knows the places in which bases run.
type Workloads interface {
	// Place gives what is known of a workload that a base was bound to. It returns at once.
	Place(workload string) plan.Place
	// Watch has changed called with each workload that may be in another place than before,
	// or ends. It must not block. It is called before anything runs.
	Watch(changed func(workload string)) error
}

// unknownWorkloads knows none.
type unknownWorkloads struct{}

func (unknownWorkloads) Place(string) plan.Place  { return plan.Place{} }
func (unknownWorkloads) Watch(func(string)) error { return nil }

// wakes gives what queues the bases that are bound to a workload. It does not block.
func wakes(bases *registry, queue workqueue.TypedRateLimitingInterface[tunnel.BaseID]) func(workload string) {
	return func(workload string) {
		for _, id := range bases.boundTo(workload) {
			queue.Add(id)
		}
	}
}
