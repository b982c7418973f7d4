package provider

import (
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// roster is the registry with what decides which bases come into it: those that are heard
// and can be Nodes, and those whose Nodes exist.
type roster struct {
	*registry
	cfg     lifecycle.Config
	envs    map[string]bool // whose Nodes are this program's
	tunnels tunnels
	nodes   *nodes
	history *history
	door    *admission
	owner   Owner
	refusing
	log *zap.Logger
	// heard has a heartbeat taken in; it returns at once.
	heard func(tunnel.Heartbeat)
}

// discover makes a record of a base heard for the first time. It gives nil where the base
// is refused, and before the Nodes that exist are adopted: the base speaks again soon.
func (r *roster) discover(h tunnel.Heartbeat) *entry {
	now := time.Now()
	name, err := plan.NodeName(h.Base)
	if err != nil {
		r.refuse(h, errNoNode, err)
		return nil
	}
	if err := r.served(h.Base.Env); err != nil {
		r.refuse(h, errOtherEnv, err)
		return nil
	}
	if !r.nodes.informer.HasSynced() {
		return nil
	}
	if r.nodes.get(name) == nil { // one that has a Node has proved that it is one
		switch why := r.admit(h, now); why {
		case nil:
		case errWaits:
			return nil
		default:
			r.refuse(h, why, nil)
			return nil
		}
	}
	e := r.enter(name, h)
	if e.answered.Load() || r.nodes.get(name) != nil { // meanwhile, and nobody says so again
		r.proved(e)
		r.door.prove(e.id, now)
	}
	return e
}

// admit lets a base in that has no Node, or gives why not. One whose Lease is ours costs no
// other.
func (r *roster) admit(h tunnel.Heartbeat, now time.Time) *refusal {
	if r.owner.NewWait() && !r.owner.Held(h.Base) {
		return errBehind
	}
	return r.door.admit(h, r.size(), now)
}

// enter makes a record of a base without asking for its price.
func (r *roster) enter(name string, h tunnel.Heartbeat) *entry {
	return r.add(h.Base, func() *entry {
		r.log.Info("base discovered", zap.Stringer("base", h.Base), zap.String("tunnel", h.Tunnel))
		installed, _ := r.history.installed.Get(h.Base)
		return r.newEntry(name, h, installed)
	})
}

// proved takes in that a base answered, or that it has a Node.
func (r *roster) proved(e *entry) {
	if !e.answered.Swap(true) {
		r.door.prove(e.id, time.Now())
		r.welcome()
	}
}

// welcome has those heard again for whom there is room now.
func (r *roster) welcome() {
	for {
		h, is := r.door.next(time.Now())
		if !is {
			return
		}
		r.heard(h)
	}
}

// nodeAdded takes in that a Node is there: whoever made it had its base answer.
func (r *roster) nodeAdded(name string) {
	if e := r.onNode(name); e != nil {
		r.proved(e)
	}
}

// remove drops a base's record.
func (r *roster) remove(e *entry) {
	r.door.leave(e.id) // first: one that is heard meanwhile must not be taken for one that is in
	r.registry.remove(e)
	r.welcome()
}

// expel drops the record of a base that never answered, and keeps the base out for a while.
func (r *roster) expel(e *entry, now time.Time) {
	r.door.expel(e.id, now)
	r.remove(e)
	r.refuse(e.first, errNoAnswer, nil)
}

func (r *roster) served(env string) error {
	if r.envs[env] {
		return nil
	}
	return fmt.Errorf("environment %q is not served: add it to ENV if it is yours", env)
}

func (r *roster) newEntry(node string, h tunnel.Heartbeat, installed map[tunnel.ModuleKey]bool) *entry {
	e := &entry{id: h.Base, node: node, first: h, base: lifecycle.New(r.cfg, h.Base, node, h, installed, time.Now())}
	e.inbox.bind(e.base.Incumbent(), r.cfg.StaleAfter)
	return e
}

// adopt makes records of the bases whose Nodes exist, so that they are polled even if
// their heartbeats stopped for good.
func (r *roster) adopt() {
	for _, node := range r.nodes.all() {
		if _, err := r.adoptNode(node); err != nil {
			r.log.Debug("ignoring foreign Node", zap.String("node", node.Name), zap.Error(err))
		}
	}
	r.log.Info("nodes adopted", zap.Int("count", len(r.all())))
}

// adoptNode makes a record of a Node's base. It returns an error where the Node is not
// one of a base that this replica can serve.
func (r *roster) adoptNode(node *corev1.Node) (*entry, error) {
	beat, installed, err := plan.Adopt(node)
	if err == nil {
		err = r.served(beat.Base.Env)
	}
	switch {
	case err != nil:
		return nil, err
	case r.tunnels.byName[beat.Tunnel] == nil:
		return nil, fmt.Errorf("tunnel %q is not served", beat.Tunnel)
	}
	return r.add(beat.Base, func() *entry { return r.newEntry(node.Name, beat, installed) }), nil
}
