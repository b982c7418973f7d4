package provider

import (
	"maps"
	"slices"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// registry has the bases that this process knows, by identity and by Node name.
type registry struct {
	mu sync.RWMutex
	// mu guards what follows
	bases  map[tunnel.BaseID]*base
	byNode map[string]tunnel.BaseID
	links  map[string]tunnel.Link
}

func newRegistry() *registry {
	return &registry{bases: map[tunnel.BaseID]*base{}, byNode: map[string]tunnel.BaseID{}, links: map[string]tunnel.Link{}}
}

func (r *registry) get(id tunnel.BaseID) *base {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bases[id]
}

// add gives the base's record, made by make where there is none.
func (r *registry) add(id tunnel.BaseID, make func() *base) *base {
	r.mu.Lock()
	defer r.mu.Unlock()
	if b, ok := r.bases[id]; ok {
		return b
	}
	b := make()
	r.bases[id], r.byNode[b.node] = b, id
	return b
}

func (r *registry) remove(b *base) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.bases, b.id)
	delete(r.byNode, b.node)
}

func (r *registry) onNode(name string) (tunnel.BaseID, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	id, ok := r.byNode[name]
	return id, ok
}

// byNodeName gives the record of the base that a Node stands for; nil for none.
func (r *registry) byNodeName(name string) *base {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.bases[r.byNode[name]]
}

func (r *registry) all() []*base {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Collect(maps.Values(r.bases))
}

func (r *registry) setLink(l tunnel.Link) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.links[l.Tunnel] = l
}

func (r *registry) link(name string) tunnel.Link {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return r.links[name]
}

// inbox is what a base said since a worker looked last. The last of each kind
// wins, but for answers: the last of each module.
type inbox struct {
	mu sync.Mutex
	// mu guards what follows
	mail mail

	// asks are when the lists were asked for that have not come, oldest first:
	// over MQTT nothing else tells which request a list answers.
	asks []time.Time
	// settled is what the worker saw last and found nothing to do about, so that
	// hearing the same again wakes nobody.
	settled struct {
		ok      bool
		modules []tunnel.Module
	}
	last    tunnel.Heartbeat
	beats   order
	lists   order
	healths order
	lost    types.UID // the Node that was deleted
	summary summary
}

// mail is what came. When it was heard and from where stays when it is taken out.
type mail struct {
	heard   time.Time
	heardBy map[string]time.Time // by tunnel
	origins origins

	beat     *tunnel.Heartbeat
	restart  bool // a heartbeat of a restart is among what came
	answered bool
	list     *tunnel.Report
	health   *tunnel.Health
	features *tunnel.Features
	answers  map[string]tunnel.Report
}

// take empties the inbox.
func (i *inbox) take() mail {
	i.mu.Lock()
	defer i.mu.Unlock()
	m := i.mail
	i.mail = mail{heard: m.heard, heardBy: maps.Clone(m.heardBy), origins: m.origins}
	i.settled.ok = false
	return m
}

// settle says that the worker has nothing more to do while this is what it hears.
func (i *inbox) settle(modules []tunnel.Module) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.settled.ok, i.settled.modules = true, modules
}

// heartbeat records one and says whether a worker should look.
func (i *inbox) heartbeat(h tunnel.Heartbeat) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hear(h.Tunnel, h.Received)
	changed := i.mail.origins.hear(h)
	if h.Restarted {
		i.beats, i.lists, i.healths = order{}, order{}, order{} // it may run on another machine now
	}
	if i.beats.late(h.Stamp, h.Received) {
		return changed || !i.settled.ok // it says that the base lives, and nothing else
	}
	same := i.last.Name == h.Name && i.last.Version == h.Version && i.last.Cluster == h.Cluster &&
		i.last.IP == h.IP && i.last.Hostname == h.Hostname && i.last.Port == h.Port && i.last.Tunnel == h.Tunnel
	i.last, i.mail.beat = h, &h
	i.mail.restart = i.mail.restart || h.Restarted
	return !same || changed || h.Restarted || !i.settled.ok
}

// report records one and says whether a worker should look.
func (i *inbox) report(r tunnel.Report) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.hear(r.Tunnel, r.Received)
	i.mail.answered = true
	switch {
	case r.Listed && i.lists.late(r.Stamp, r.Received):
		return false
	case r.Listed:
		if r.Asked.IsZero() {
			r.Asked = i.popAsk()
		} else {
			i.asks = slices.DeleteFunc(i.asks, func(t time.Time) bool { return !t.After(r.Asked) })
		}
		if i.mail.list != nil && i.mail.list.Asked.After(r.Asked) {
			return true // an older list came late
		}
		i.mail.list = &r
		return !i.settled.ok || !slices.Equal(i.settled.modules, r.Modules)
	case r.Health != nil && !i.healths.late(r.Stamp, r.Received):
		i.mail.health = r.Health
	case r.Health != nil:
		return false
	case r.Features != nil:
		i.mail.features = r.Features
	case r.Answer != nil:
		if i.mail.answers == nil {
			i.mail.answers = map[string]tunnel.Report{}
		}
		i.mail.answers[r.Answer.Module.Name] = r
	}
	return true
}

// inherit takes over from where the record before heard its base.
func (i *inbox) inherit(o origins) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.mail.origins.currentAt.IsZero() {
		i.mail.origins = o
	}
}

// hear records a sign of life. The caller holds mu.
func (i *inbox) hear(tunnelName string, at time.Time) {
	if i.mail.heardBy == nil {
		i.mail.heardBy = map[string]time.Time{}
	}
	i.mail.heard, i.mail.heardBy[tunnelName] = at, at
}

// asked records that a list was asked for now.
func (i *inbox) asked(now time.Time) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asks = append(i.asks, now)
	if len(i.asks) > maxAsks {
		i.asks = slices.Delete(i.asks, 0, len(i.asks)-maxAsks)
	}
}

// forgetAsks forgets the lists that were asked for: none will come.
func (i *inbox) forgetAsks() {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.asks = nil
}

const (
	// maxAsks bounds what is remembered of lists that never came.
	maxAsks = 8
	// askLost is the age at which an unanswered request counts as lost.
	askLost = 30 * time.Second
)

// popAsk gives when the list that came was asked for at the earliest, and the
// zero time where nobody asked. The caller holds mu.
func (i *inbox) popAsk() time.Time {
	now := time.Now()
	i.asks = slices.DeleteFunc(i.asks, func(t time.Time) bool { return now.Sub(t) > askLost && len(i.asks) > 1 })
	if len(i.asks) == 0 {
		return time.Time{}
	}
	asked := i.asks[0]
	i.asks = i.asks[1:]
	return asked
}

// outstanding is how many lists are owed.
func (i *inbox) outstanding() int {
	i.mu.Lock()
	defer i.mu.Unlock()
	return len(i.asks)
}
