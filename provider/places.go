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
	// Refused has it shown, where a workload is looked at, that the base in it is refused.
	// reason has few values, why is for people. It returns at once, and may be called as
	// often as heartbeats come.
	Refused(workload, reason, why string)
}

// unknownWorkloads knows none.
type unknownWorkloads struct{}

func (unknownWorkloads) Place(string) plan.Place  { return plan.Place{} }
func (unknownWorkloads) Watch(func(string)) error { return nil }
func (unknownWorkloads) Refused(_, _, _ string)   {}

// wakes gives what queues the bases that are bound to a workload. It does not block.
func wakes(bases *registry, queue workqueue.TypedRateLimitingInterface[tunnel.BaseID]) func(workload string) {
	return func(workload string) {
		for _, id := range bases.boundTo(workload) {
			queue.Add(id)
		}
	}
}
