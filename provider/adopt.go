package provider

import (
	"fmt"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// adopt makes records of the bases whose Nodes exist, so that they are polled even if
// their heartbeats stopped for good.
func (p *Provider) adopt() {
	for _, node := range p.nodes.all() {
		r, err := p.adoptNode(node)
		if err != nil {
			p.log.Debug("ignoring foreign Node", zap.String("node", node.Name), zap.Error(err))
			continue
		}
		p.queue.Add(r.id)
	}
	p.log.Info("nodes adopted", zap.Int("count", len(p.bases.all())))
}

// adoptNode makes a record of a Node's base. It returns an error where the Node is not
// one of a base that this replica can serve.
func (p *Provider) adoptNode(node *corev1.Node) (*entry, error) {
	beat, installed, err := plan.Adopt(node)
	switch {
	case err != nil:
		return nil, err
	case !p.envs[beat.Base.Env]:
		return nil, fmt.Errorf("environment %q is not served", beat.Base.Env)
	case p.tunnels[beat.Tunnel] == nil:
		return nil, fmt.Errorf("tunnel %q is not served", beat.Tunnel)
	}
	return p.bases.add(beat.Base, func() *entry { return p.newEntry(node.Name, beat, installed) }), nil
}

// adoptClaimed makes a record of a base that was claimed although it was not heard here:
// its Node tells of it. It gives nil where there is nothing to serve.
func (p *Provider) adoptClaimed(id tunnel.BaseID) *entry {
	name, err := plan.NodeName(id)
	if err != nil || !p.deps.Owner.Held(id) {
		return nil
	}
	node := p.nodes.get(name)
	if node == nil {
		p.awaitNode(id)
		return nil
	}
	r, err := p.adoptNode(node)
	if err != nil {
		p.log.Warn("dropping base: its Node cannot be served by this replica", zap.Stringer("base", id), zap.Error(err))
		p.deps.Retired(id) // a Lease that is renewed would keep the Node Ready for ever
		return nil
	}
	return r
}

// awaitNode gives up a claim without a Node, unless one appears within StaleAfter: our
// view of Nodes may lag.
func (p *Provider) awaitNode(id tunnel.BaseID) {
	since, _, _ := p.history.unheard.PeekOrAdd(id, time.Now())
	if since.IsZero() || time.Since(since) < p.cfg.StaleAfter {
		p.queue.AddAfter(id, time.Second)
		return
	}
	p.history.unheard.Remove(id)
	p.deps.Retired(id)
}
