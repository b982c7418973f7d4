package provider

import (
	"maps"
	"slices"
	"sync"
	"sync/atomic"

	"module-controller/provider/lifecycle"
	"module-controller/provider/traces"
	"module-controller/tunnel"
)

// entry is one base that this process knows.
type entry struct {
	id    tunnel.BaseID
	node  string           // the name of its Node and Lease
	first tunnel.Heartbeat // what made this process know it; never changed
	inbox inbox
	// answered: it has answered, or has a Node, so admission need not be told.
	answered atomic.Bool
	// installed is what the base's Lease is to tell the next owner; nil while the base is not
	// served here.
	installed atomic.Pointer[map[tunnel.ModuleKey]bool]
	// base belongs to the worker that holds the base's key in the queue.
	base   *lifecycle.Base
	events budget       // as base
	story  traces.Story // as base
	// workload is the one that the registry has it under; as base.
	workload string
}

// registry has the bases that this process knows, by identity and by Node name, and the
// tunnels' links.
type registry struct {
	mu sync.RWMutex
	// mu guards what follows
	bases  map[tunnel.BaseID]*entry
	byNode map[string]*entry
	bound  map[string]map[tunnel.BaseID]bool // by workload; none is empty
	links  map[string]tunnel.Link            // replaced, never changed: readers keep it
}

func newRegistry() *registry {
	return &registry{bases: map[tunnel.BaseID]*entry{}, byNode: map[string]*entry{}, bound: map[string]map[tunnel.BaseID]bool{}, links: map[string]tunnel.Link{}}
}

func (r *registry) get(id tunnel.BaseID) *entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bases[id]
}

// add gives the base's record, made by make where there is none.
func (r *registry) add(id tunnel.BaseID, make func() *entry) *entry {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b, ok := r.bases[id]; ok {
		return b
	}
	b := make()
	r.bases[id], r.byNode[b.node] = b, b
	return b
}

func (r *registry) remove(b *entry) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.bases, b.id)
	delete(r.byNode, b.node)
	r.move(b, "")
}

// bind notes which workload a base is bound to; empty for none.
func (r *registry) bind(b *entry, workload string) {
	if b.workload == workload { // it changes here only, and in remove
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bases[b.id] == b {
		r.move(b, workload)
	}
}

// move needs mu.
func (r *registry) move(b *entry, to string) {
	if b.workload == to {
		return
	}
	if of := r.bound[b.workload]; of != nil {
		delete(of, b.id)
		if len(of) == 0 {
			delete(r.bound, b.workload)
		}
	}
	b.workload = to
	if to == "" {
		return
	}
	if r.bound[to] == nil {
		r.bound[to] = map[tunnel.BaseID]bool{}
	}
	r.bound[to][b.id] = true
}

// boundTo gives the bases that are bound to a workload.
func (r *registry) boundTo(workload string) []tunnel.BaseID {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Keys(r.bound[workload]))
}

// onNode gives the record of the base that a Node stands for; nil for none.
func (r *registry) onNode(name string) *entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.byNode[name]
}

func (r *registry) size() int {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.bases)
}

func (r *registry) all() []*entry {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.bases))
}

// each calls do, which must not call the registry, for each base.
func (r *registry) each(do func(*entry)) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, b := range r.bases {
		do(b)
	}
}

func (r *registry) setLink(l tunnel.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links = maps.Clone(r.links)
	r.links[l.Tunnel] = l
}

// allLinks gives the links by tunnel. They must not be changed.
func (r *registry) allLinks() map[string]tunnel.Link {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.links
}
