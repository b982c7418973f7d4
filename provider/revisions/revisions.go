package revisions

import (
	"context"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"go.uber.org/zap"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"

	"module-controller/provider/plan"
)

// patience is how long a pod is not synced whose revision was not seen yet. The pod may
// be seen a moment before the ReplicaSet that made it, for both are watched.
const patience = 2 * time.Second

// Deps are what the room works with. All are needed.
type Deps struct {
	// Client reads ControllerRevisions, and Metadata ReplicaSets without their specs.
	Client   kubernetes.Interface
	Metadata metadata.Interface
	Log      *zap.Logger
	// Wake is told of each Node whose pods are of another revision than Fill said. It
	// returns at once.
	Wake func(node string)
}

// Revisions knows of which revision pods are.
type Revisions struct {
	wake   func(node string)
	tables map[kind]*table

	mu sync.Mutex
	// mu guards what follows
	asked map[source]*asked   // each has a Node
	nodes map[string][]source // what was asked for a Node, in any order
}

// asked is a source that pods on Nodes have.
type asked struct {
	nodes map[string]bool
	since time.Time // when it was asked for first
	// last is what was told last, also by an object that is deleted since; nil for nothing.
	last *record
}

// New makes the room. It starts nothing.
func New(deps Deps) (*Revisions, error) {
	r := &Revisions{wake: deps.Wake, asked: map[source]*asked{}, nodes: map[string][]source{}, tables: map[kind]*table{
		replicaSet:         replicaSets(deps.Metadata, deps.Log),
		controllerRevision: controllerRevisions(deps.Client, deps.Log),
	}}
	for _, t := range r.tables {
		if err := t.handle(func(is *record) { r.changed(t.kind, is) }); err != nil {
			return nil, err
		}
	}
	return r, nil
}

// Run watches until ctx ends, and returns when all that it started has ended. It is called
// once.
func (r *Revisions) Run(ctx context.Context) {
	var wg sync.WaitGroup
	for _, t := range r.tables {
		wg.Go(func() { t.informer.RunWithContext(ctx) })
	}
	wg.Wait()
}

// HasSynced says whether all was seen that this program may see. Nothing must be decided
// by revisions before.
func (r *Revisions) HasSynced() bool {
	for _, t := range r.tables {
		if !t.synced() {
			return false
		}
	}
	return true
}

// Unread says what this program may not see, and what follows; it is empty for nothing.
func (r *Revisions) Unread() string {
	var refused []string
	for _, t := range r.tables {
		if t.isRefused() {
			refused = append(refused, t.resource)
		}
	}
	if len(refused) == 0 {
		return ""
	}
	slices.Sort(refused)
	return "not permitted to list and watch " + strings.Join(refused, " and ") + ": " + unknown
}

// Fill writes into the pods of a Node of which workload and revision they are. A pod whose
// revision may be seen in a moment is marked as not synced; then it is to be called again
// after the time that it gives, unless the Node is woken before. It takes the place of
// what was asked for the Node before.
func (r *Revisions) Fill(node string, pods []plan.Pod, now time.Time) (again time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	current := make(map[source]bool, len(pods))
	for i := range pods {
		s := sourceOf(pods[i].Pod)
		if s.kind == nothing {
			pods[i].Workload = identified(s.namespace, s.owner)
			continue
		}
		current[s] = true
		again = max(again, r.fill(&pods[i], s, r.ask(s, node, now), now))
	}
	r.replace(node, current)
	return again
}

// Forget ends Fill for a Node.
func (r *Revisions) Forget(node string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.replace(node, nil)
}

// ask records that a Node has pods of a source, before what is known of it is read: what
// changes after wakes the Node. The caller holds mu.
func (r *Revisions) ask(s source, node string, now time.Time) *asked {
	a := r.asked[s]
	if a == nil {
		a = &asked{nodes: map[string]bool{}, since: now}
		r.asked[s] = a
	}
	a.nodes[node] = true
	return a
}

// fill writes what is known of a pod, and says how long to wait for what is not. The
// caller holds mu.
func (r *Revisions) fill(pod *plan.Pod, s source, a *asked, now time.Time) time.Duration {
	t := r.tables[s.kind]
	if is := t.get(s); is != nil {
		a.last = is
	}
	wait := a.since.Add(patience).Sub(now)
	switch {
	case a.last != nil:
		pod.Workload, pod.Revision = a.last.workload, a.last.number
		return 0
	case wait > 0 && !t.isRefused() && !pod.Terminating():
		pod.Workload, pod.Unsynced = guess(pod.Pod, s), true
		return wait
	}
	pod.Workload = guess(pod.Pod, s)
	return 0
}

// replace records what is asked for a Node. The caller holds mu.
func (r *Revisions) replace(node string, current map[source]bool) {
	for _, s := range r.nodes[node] {
		if current[s] {
			continue
		}
		a := r.asked[s]
		delete(a.nodes, node)
		if len(a.nodes) == 0 {
			delete(r.asked, s)
		}
	}
	if len(current) == 0 {
		delete(r.nodes, node)
		return
	}
	r.nodes[node] = slices.AppendSeq(r.nodes[node][:0], maps.Keys(current))
}

// changed wakes the Nodes whose pods a record tells of.
func (r *Revisions) changed(k kind, is *record) {
	for _, node := range r.of(source{k, is.Namespace, is.Name, is.of}) {
		r.wake(node)
	}
}

// of gives the Nodes that have pods of a source.
func (r *Revisions) of(s source) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	a := r.asked[s]
	if a == nil {
		return nil
	}
	return slices.Collect(maps.Keys(a.nodes))
}
