package provider

import (
	"context"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/provider/pods"
	"module-controller/provider/probes"
	"module-controller/provider/revisions"
)

// Seen gives the Nodes of all bases and the module pods that are bound to them, of all
// replicas, as the caches of a Provider have them. They must not be changed.
func Seen(p *Provider) (nodes []*corev1.Node, modules []*corev1.Pod) {
	return p.nodes.all(), p.pods.All()
}

// seenPods are the module pods, with all that is known of them.
type seenPods struct {
	*pods.Pods
	revisions *revisions.Revisions
	probes    *probes.Prober
}

// Run runs all until ctx ends, or the pod controller fails.
func (s *seenPods) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { s.revisions.Run(ctx) })
	wg.Go(func() { s.probes.Run(ctx) })
	return s.Pods.Run(ctx)
}

// HasSynced says whether all is known. Nothing must be served before.
func (s *seenPods) HasSynced() bool { return s.Pods.HasSynced() && s.revisions.HasSynced() }

// On gives the pods of a Node for the planner, and how soon they may be known better; 0
// where nothing is missing.
func (s *seenPods) On(node string, now time.Time) (on []plan.Pod, again time.Duration) {
	on = s.Pods.On(node)
	return on, s.revisions.Fill(node, on, now)
}

// Forget ends what was served for a Node.
func (s *seenPods) Forget(node string) {
	s.Pods.Forget(node)
	s.revisions.Forget(node)
	s.probes.Forget(node)
}
