package provider

import (
	"fmt"

	"go.uber.org/zap"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Heartbeat implements tunnel.Sink.
func (p *Provider) Heartbeat(h tunnel.Heartbeat) {
	b := p.bases.get(h.Base)
	if b == nil {
		if b = p.discover(h); b == nil {
			return
		}
	}
	if b.heartbeat(h) {
		p.queue.Add(h.Base)
	}
}

// discover makes a record of a base heard for the first time. It gives nil where
// the base cannot be a Node.
func (p *Provider) discover(h tunnel.Heartbeat) *base {
	node, err := plan.NodeName(h.Base)
	if err == nil && !p.envs[h.Base.Env] {
		err = fmt.Errorf("environment %q is not served", h.Base.Env)
	}
	if err != nil {
		if known, _ := p.refused.ContainsOrAdd(h.Base, struct{}{}); !known {
			p.log.Warn("base refused", zap.String("env", h.Base.Env), zap.String("identity", h.Base.Identity), zap.Error(err))
		}
		return nil
	}
	select {
	case <-p.ready:
	default:
		// The Nodes that exist are adopted first; this base speaks again soon.
		if !p.nodes.informer.HasSynced() {
			return nil
		}
	}
	return p.bases.add(h.Base, func() *base {
		p.log.Info("base discovered", zap.Stringer("base", h.Base), zap.String("tunnel", h.Tunnel))
		installed, _ := p.installed.Get(h.Base)
		return newBase(h.Base, node, h, installed)
	})
}

// Report implements tunnel.Sink.
func (p *Provider) Report(r tunnel.Report) {
	if b := p.bases.get(r.Base); b != nil && b.report(r) {
		p.queue.Add(r.Base)
	}
}

// Link implements tunnel.Sink.
func (p *Provider) Link(l tunnel.Link) {
	p.bases.setLink(l)
	p.meter.Link(l.Tunnel, l.Up)
	p.log.Info("link changed", zap.String("tunnel", l.Tunnel), zap.Bool("up", l.Up))
	for _, b := range p.bases.all() {
		p.queue.Add(b.id)
	}
}
