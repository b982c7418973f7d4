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
	log     *zap.Logger
}

// discover makes a record of a base heard for the first time. It gives nil where the base
// cannot be a Node, and before the Nodes that exist are adopted: the base speaks again
// soon.
func (r *roster) discover(h tunnel.Heartbeat) *entry {
	name, err := plan.NodeName(h.Base)
	if err == nil {
		err = r.served(h.Base.Env)
	}
	if err != nil {
		if known, _ := r.history.refused.ContainsOrAdd(h.Base, struct{}{}); !known {
			r.log.Warn("base refused", zap.String("env", h.Base.Env), zap.String("identity", h.Base.Identity), zap.Error(err))
		}
		return nil
	}
	if !r.nodes.informer.HasSynced() {
		return nil
	}
	return r.add(h.Base, func() *entry {
		r.log.Info("base discovered", zap.Stringer("base", h.Base), zap.String("tunnel", h.Tunnel))
		installed, _ := r.history.installed.Get(h.Base)
		return r.newEntry(name, h, installed)
	})
}

func (r *roster) served(env string) error {
	if r.envs[env] {
		return nil
	}
	return fmt.Errorf("environment %q is not served", env)
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
