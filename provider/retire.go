package provider

import (
	"context"
	"time"

	"go.uber.org/zap"

	"module-controller/provider/lifecycle"
)

// retire ends a base here: its Node is deleted, what was installed on it is remembered in
// case it comes back, and its claim is given up. Until that succeeds it is served.
func (p *Provider) retire(ctx context.Context, r *entry, why lifecycle.Retirement) error {
	if why.Evict {
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
	p.deps.Kubelets.Forget(r.node)
	p.log.Info("base retired", zap.Stringer("base", r.id), zap.String("node", r.node), zap.String("why", why.Why))
	if len(why.Installed) > 0 {
		p.history.installed.Add(r.id, why.Installed)
	}
	p.bases.remove(r)
	p.deps.Owner.Retire(r.id)
	p.succeed(r, why)
	return nil
}

// letGo ends a base here that never answered and so has no Node: its claim is given up, and
// its heartbeats change nothing for a while.
func (p *Provider) letGo(r *entry, now time.Time) {
	p.tunnels.unfollow(r.base.Retired(), r.id)
	p.pods.Forget(r.node)
	p.deps.Kubelets.Forget(r.node)
	p.bases.expel(r, now)
	p.deps.Owner.Retire(r.id)
}

// succeed makes the application that has the identity now a base of its own. The cache may
// still have the Node that was deleted, which is not of this one.
func (p *Provider) succeed(r *entry, why lifecycle.Retirement) {
	if why.Successor == nil {
		return
	}
	next := p.bases.enter(r.node, *why.Successor)
	if why.Node != nil {
		next.inbox.nodeDeleted(why.Node.UID)
	}
	p.Heartbeat(*why.Successor)
}
