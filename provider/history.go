package provider

import (
	"errors"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// history is what is remembered of what is no more, each kind bounded by
// Config.HistoryLimit; and of claims without a Node, which are as many as there are such
// Leases. It may be used from any goroutine.
type history struct {
	// failures are of modules that no pod waits for.
	failures *lru.Cache[failureKey, plan.Failure]
	// installed is what was installed on bases that are retired.
	installed *lru.Cache[tunnel.BaseID, map[tunnel.ModuleKey]bool]

	mu sync.Mutex
	// mu guards what follows
	// unheard are bases that are claimed without a Node, and since when. It has no bound:
	// one that is forgotten before its time would never be given up.
	unheard map[tunnel.BaseID]time.Time
}

type failureKey struct {
	base   tunnel.BaseID
	module tunnel.ModuleKey
}

// newHistory makes a history of at least one entry a kind.
func newHistory(limit int) (*history, error) {
	failures, err1 := lru.New[failureKey, plan.Failure](limit)
	installed, err2 := lru.New[tunnel.BaseID, map[tunnel.ModuleKey]bool](limit)
	h := &history{failures: failures, installed: installed, unheard: map[tunnel.BaseID]time.Time{}}
	return h, errors.Join(err1, err2)
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
		for _, key := range plan.ModulesOf(pod.Pod) {
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
	h.mu.Lock()
	defer h.mu.Unlock()
	since, known := h.unheard[id]
	switch {
	case !known:
		h.unheard[id] = now
		return false
	case now.Sub(since) < after:
		return false
	}
	delete(h.unheard, id)
	return true
}

// heard takes in that a base is not claimed without a Node.
func (h *history) heard(id tunnel.BaseID) {
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.unheard, id)
}
