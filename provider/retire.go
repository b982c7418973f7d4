package provider

import (
	"context"

	"go.uber.org/zap"

	"module-controller/provider/lifecycle"
)

// retire ends a base here: its Node is deleted, what was installed on it is remembered in
// case it comes back, and its claim is given up. Until that succeeds it is served.
func (p *Provider) retire(ctx context.Context, r *entry, why lifecycle.Retirement) error {
	if why.Successor != nil {
		if err := p.pods.Evict(ctx, r.node); err != nil {
			return err
		}
	}
	if why.Node != nil {
		if err := p.nodes.delete(ctx, why.Node); err != nil {
			return err
		}
	}
	p.tunnels.unfollow(r.base.Retired(), r.id)
	p.pods.Forget(r.node)
	p.log.Info("base retired", zap.Stringer("base", r.id), zap.String("node", r.node), zap.String("why", why.Why))
	if len(why.Installed) > 0 {
		p.history.installed.Add(r.id, why.Installed)
	}
	p.bases.remove(r)
	p.deps.Retired(r.id)
	p.succeed(why)
	return nil
}

// succeed makes the application that has the identity now a base of its own. The cache may
// still have the Node that was deleted, which is not of this one.
func (p *Provider) succeed(why lifecycle.Retirement) {
	if why.Successor == nil {
		return
	}
	next := p.bases.discover(*why.Successor)
	if next != nil && why.Node != nil {
		next.inbox.nodeDeleted(why.Node.UID)
	}
	p.Heartbeat(*why.Successor)
}
