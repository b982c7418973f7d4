package provider

import (
	"go.uber.org/zap"

	"module-controller/tunnel"
)

var _ tunnel.Sink = (*Provider)(nil)

// Heartbeat implements tunnel.Sink.
func (p *Provider) Heartbeat(h tunnel.Heartbeat) {
	r := p.bases.get(h.Base)
	if r == nil {
		if r = p.bases.discover(h); r == nil {
			return
		}
		p.queue.AddAfter(h.Base, p.cfg.StaleAfter) // it may be silent, and must have answered then
	}
	if r.inbox.heartbeat(h) {
		p.queue.Add(h.Base)
	}
}

// Report implements tunnel.Sink.
func (p *Provider) Report(m tunnel.Report) {
	r := p.bases.get(m.Base)
	if r == nil {
		return
	}
	p.bases.proved(r)
	if r.inbox.report(m) {
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
