package provider

import (
	"errors"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// history is what is remembered of what is no more, each kind bounded by
// Config.HistoryLimit. It may be used from any goroutine.
type history struct {
	// failures are of modules that no pod waits for.
	failures *lru.Cache[failureKey, plan.Failure]
	// installed is what was installed on bases that are retired.
	installed *lru.Cache[tunnel.BaseID, map[tunnel.ModuleKey]bool]
	// unheard are bases that are claimed without a Node, and since when.
	unheard *lru.Cache[tunnel.BaseID, time.Time]
}

type failureKey struct {
	base   tunnel.BaseID
	module tunnel.ModuleKey
}

// newHistory makes a history of at least one entry a kind.
func newHistory(limit int) (*history, error) {
	failures, err1 := lru.New[failureKey, plan.Failure](limit)
	installed, err2 := lru.New[tunnel.BaseID, map[tunnel.ModuleKey]bool](limit)
	unheard, err3 := lru.New[tunnel.BaseID, time.Time](limit)
	return &history{failures, installed, unheard}, errors.Join(err1, err2, err3)
}

// remember keeps failures that no pod of a base waits for.
func (h *history) remember(id tunnel.BaseID, failures map[tunnel.ModuleKey]plan.Failure) {
	for key, f := range failures {
		h.failures.Add(failureKey{id, key}, f)
	}
}

// recall gives what is remembered of failures of the modules that pods want.
func (h *history) recall(id tunnel.BaseID, pods []plan.Pod) map[tunnel.ModuleKey]plan.Failure {
	found := map[tunnel.ModuleKey]plan.Failure{}
	for _, pod := range pods {
		for _, key := range plan.Wanted(pod.Pod) {
			if f, ok := h.failures.Get(failureKey{id, key}); ok {
				found[key] = f
			}
		}
	}
	return found
}

// givesUp says of a base that is claimed without a Node whether it was so for long enough
// to give the claim up: our view of Nodes may lag.
func (h *history) givesUp(id tunnel.BaseID, now time.Time, after time.Duration) bool {
	since, known, _ := h.unheard.PeekOrAdd(id, now)
	if !known || now.Sub(since) < after {
		return false
	}
	return h.unheard.Remove(id)
}
