package provider

import (
	"fmt"
	"time"

	"go.uber.org/zap"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

var _ tunnel.Sink = (*Provider)(nil)

// Heartbeat implements tunnel.Sink.
func (p *Provider) Heartbeat(h tunnel.Heartbeat) {
	r := p.bases.get(h.Base)
	if r == nil {
		if r = p.discover(h); r == nil {
			return
		}
	}
	if r.inbox.heartbeat(h) {
		p.queue.Add(h.Base)
	}
}

// Report implements tunnel.Sink.
func (p *Provider) Report(m tunnel.Report) {
	if r := p.bases.get(m.Base); r != nil && r.inbox.report(m) {
		p.queue.Add(m.Base)
	}
}

// Link implements tunnel.Sink.
func (p *Provider) Link(l tunnel.Link) {
	p.bases.setLink(l)
	p.meter.Link(l.Tunnel, l.Up)
	p.log.Info("link changed", zap.String("tunnel", l.Tunnel), zap.Bool("up", l.Up))
	for _, r := range p.bases.all() {
		p.queue.Add(r.id)
	}
}

// discover makes a record of a base heard for the first time. It gives nil where the base
// cannot be a Node, and before the Nodes that exist are adopted: the base speaks again
// soon.
func (p *Provider) discover(h tunnel.Heartbeat) *entry {
	node, err := plan.NodeName(h.Base)
	if err == nil && !p.envs[h.Base.Env] {
		err = fmt.Errorf("environment %q is not served", h.Base.Env)
	}
	if err != nil {
		if known, _ := p.history.refused.ContainsOrAdd(h.Base, struct{}{}); !known {
			p.log.Warn("base refused", zap.String("env", h.Base.Env), zap.String("identity", h.Base.Identity), zap.Error(err))
		}
		return nil
	}
	if !p.nodes.informer.HasSynced() {
		return nil
	}
	return p.bases.add(h.Base, func() *entry {
		p.log.Info("base discovered", zap.Stringer("base", h.Base), zap.String("tunnel", h.Tunnel))
		installed, _ := p.history.installed.Get(h.Base)
		return p.newEntry(node, h, installed)
	})
}

func (p *Provider) newEntry(node string, h tunnel.Heartbeat, installed map[tunnel.ModuleKey]bool) *entry {
	return &entry{id: h.Base, node: node, first: h, base: lifecycle.New(p.cfg.Config, h.Base, node, h, installed, time.Now())}
}
