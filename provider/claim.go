package provider

import (
	"context"
	"maps"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// claimOf gives the right to act for a base, and stops serving a base that is not
// ours. While a base is ours and we may not act for it, it is served still: what is
// under way on it goes on, and what it says is taken in.
func (p *Provider) claimOf(b *base) (claim shard.Claim, held bool) {
	claim, held = p.deps.Owner.Claim(b.id)
	again := held && b.owned && claim.Epoch != b.epoch // it was lost, and won again since
	lapsed := !held && b.owned && p.deps.Owner.Held(b.id)
	if again || !held && !lapsed {
		p.letGo(b)
	}
	return claim, held
}

// leaveLook is how soon it is looked again whether the statuses of a base that is to be
// handed over are written.
const leaveLook = 20 * time.Millisecond

// leave lets a base be handed over once nothing is under way on it: each command has
// ended, and what the pods should show is written. The next owner knows of neither.
func (p *Provider) leave(ctx context.Context, b *base, now time.Time, out plan.Output) time.Duration {
	if len(b.attempts) == 0 && !p.pods.writing(b.node) {
		return p.yield(b)
	}
	if out.Ask {
		p.poll(ctx, b, now, true)
	}
	if len(b.attempts) > 0 {
		return p.nextLook(b, now, out.Ask, out.Next)
	}
	return leaveLook
}

// yield says that a base may be the next owner's at any moment: nothing is written of it
// any more, once the statuses are that were on their way.
func (p *Provider) yield(b *base) time.Duration {
	if !b.yielded && p.pods.writing(b.node) {
		return leaveLook
	}
	b.yielded = true
	p.deps.Owner.Drained(b.id)
	return p.cfg.ListEvery
}

// adoptClaimed makes a record of a base that was claimed although it was not heard
// here: its Node tells of it. A claim without a Node is given up unless the base is
// heard soon.
func (p *Provider) adoptClaimed(id tunnel.BaseID) *base {
	name, err := plan.NodeName(id)
	if err != nil {
		return nil
	}
	if !p.deps.Owner.Held(id) {
		return nil
	}
	node := p.nodes.get(name)
	if node == nil {
		since, _, _ := p.unheard.PeekOrAdd(id, time.Now())
		if !since.IsZero() && time.Since(since) >= p.cfg.StaleAfter {
			p.unheard.Remove(id)
			p.deps.Retired(id)
			return nil
		}
		p.queue.AddAfter(id, time.Second) // our view of Nodes may lag
		return nil
	}
	beat, _, err := plan.Adopt(node)
	if err != nil || !p.envs[beat.Base.Env] || p.tunnels[beat.Tunnel] == nil {
		p.log.Warn("base given up: its node is of a tunnel that is not served here", zap.Stringer("base", id), zap.String("tunnel", beat.Tunnel))
		p.deps.Retired(id) // a Lease that is renewed would keep the Node Ready for ever
		return nil
	}
	return p.bases.add(id, func() *base { return newBase(id, name, beat, nil) })
}

// vanished says of a base that is not ours that it is neither heard nor a Node.
func (p *Provider) vanished(b *base, now time.Time) bool {
	heard := b.heardAt
	if heard.IsZero() {
		heard = b.adopted
	}
	return now.Sub(heard) >= p.cfg.StaleAfter && p.nodes.get(b.node) == nil
}

// serve begins to serve a base whose claim was gained.
func (p *Provider) serve(b *base, claim shard.Claim, now time.Time) {
	b.begin(claim, p.nodes.get(b.node), now, p.cfg.StaleAfter)
	p.pods.serveNode(b.node)
	p.fence.want(b.claimed)
}

// begin starts to serve a base as it is. What this process knew of it from before
// may be wrong: somebody else served it.
func (b *base) begin(claim shard.Claim, node *corev1.Node, now time.Time, stale time.Duration) {
	if now.Sub(b.heardAt) >= stale {
		b.heardAt = time.Time{} // whoever served it knows better
	}
	was := b.beat
	if b.takenOver != nil {
		was = *b.takenOver
	}
	b.served = newBase(b.id, b.node, was, b.installed).served
	b.owned, b.epoch, b.claimed = true, claim.Epoch, time.Now()
	if node == nil {
		return
	}
	if b.notReady = plan.NotReadyOf(node); b.notReady == plan.ReasonBaseNotAnswering {
		b.unanswered = now // until it answers
	}
	if beat, installed, err := plan.Adopt(node); err == nil {
		b.beat, b.installed, b.noted = beat, installed, maps.Clone(installed)
	}
	if !b.heardAt.IsZero() {
		b.absorbBeat(was)
	}
}

// letGo stops serving a base whose claim is not held: its pods vanish from the
// pod controller's sight after its record was emptied, so nothing is uninstalled.
func (p *Provider) letGo(b *base) {
	b.owned = false
	b.unsummarize()
	if b.followed.Base == b.id {
		p.tunnels[b.followed.Tunnel].Unfollow(b.id)
		b.followed = tunnel.Heartbeat{}
	}
	p.pods.forgetNode(b.node)
	p.shown.release(b.node)
}
