package provider

import (
	"context"
	"slices"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/api/equality"

	"module-controller/provider/plan"
	"module-controller/provider/pods"
)

// Nothing is done for the pods of a base that was claimed before their cache has caught
// up with the claim.

// podsPause is how soon it is looked again whether the cache has caught up.
const podsPause = 50 * time.Millisecond

// idle says whether a plan has nothing done and nothing shown.
func idle(out plan.Output) bool {
	return len(out.Commands) == 0 && !slices.ContainsFunc(out.Statuses, func(s plan.PodStatus) bool {
		return s.Finished || !s.Pod.Gone && !equality.Semantic.DeepEqual(s.Pod.Status, s.Status)
	})
}

// withheld is a plan that changes nothing and is made anew soon.
func withheld(b *base, out plan.Output, now time.Time) plan.Output {
	return plan.Output{
		Attempts: b.attempts, Failures: b.failures, Installed: b.installed, Unwanted: b.unwanted,
		Ask: out.Ask, Next: now.Add(podsPause),
	}
}

// seesPods says whether pods that were read from the cache are as new as the claim.
// Seen is a version that the cache had reached before.
func (p *Provider) seesPods(ctx context.Context, b *base, seen string, onNode []plan.Pod) bool {
	freshness, err := p.pods.Confirm(ctx, b.node, seen, onNode, time.Now())
	if err != nil {
		p.log.Info("pods not read", zap.Stringer("base", b.id), zap.Error(err))
	}
	return freshness == pods.Current
}
