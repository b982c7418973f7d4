package provider

import (
	"context"
	"time"

	"go.uber.org/zap"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/provider/pods"
	"module-controller/shard"
	"module-controller/tunnel"
)

// sync is one look at a base: observe, decide, perform. It returns how long until the
// next one if nothing happens.
func (p *Provider) sync(ctx context.Context, id tunnel.BaseID) (time.Duration, error) {
	seen, known := p.observe(id)
	if !known {
		return 0, nil
	}
	do := seen.base.Turn(seen.facts)
	return p.perform(ctx, seen, do)
}

// observation is a base and all that was seen of it.
type observation struct {
	*entry
	facts lifecycle.Facts
	// version is a resource version that the cache of pods had reached before Pods were
	// read from it.
	version string
}

// observe reads everything that a base's Turn needs, without I/O. It is false for a base
// that this process does not know, or knows no more.
func (p *Provider) observe(id tunnel.BaseID) (observation, bool) {
	r := p.bases.get(id)
	if r == nil {
		if r = p.adoptClaimed(id); r == nil {
			return observation{}, false
		}
	}
	o := observation{entry: r}
	in := &o.facts
	in.Mail, in.Links, in.Node, in.Now = r.inbox.take(), p.bases.allLinks(), p.nodes.get(r.node), time.Now()
	if r.base.Vanished(*in) { // before the claim is asked for: asking makes a Lease
		p.bases.remove(r)
		return o, false
	}
	in.Right, in.Claim = p.right(id)
	in.Now = time.Now()
	if in.Right == lifecycle.Valid {
		o.version = p.pods.Version()
		in.Current = p.pods.Freshness(r.node, o.version, in.Now) == pods.Current
		in.Writing, in.Pods = p.pods.Writing(r.node), p.pods.On(r.node)
		in.Failures = p.history.recall(id, in.Pods)
	}
	return o, true
}

// right says what this replica may do for a base. Asking registers interest in it.
func (p *Provider) right(id tunnel.BaseID) (lifecycle.Right, shard.Claim) {
	claim, valid := p.deps.Owner.Claim(id)
	switch {
	case valid:
		return lifecycle.Valid, claim
	case p.deps.Owner.Held(id):
		return lifecycle.Lapsed, shard.Claim{}
	}
	return lifecycle.NotOurs, shard.Claim{}
}

// perform does what a Turn said, from top to bottom. Where the Node cannot be written no
// command is sent, for the Node is to tell of what is installed; the rest is done.
func (p *Provider) perform(ctx context.Context, o observation, do lifecycle.Actions) (time.Duration, error) {
	p.take(o, do)
	p.follow(o.entry, do.Talk)
	p.note(o.entry, do.Changed)
	if do.Retire != nil {
		return 0, p.retire(ctx, o.entry, *do.Retire)
	}
	p.history.remember(o.id, do.Remember)
	err := p.writeNode(ctx, o.entry, do.Write)
	if err == nil {
		p.send(ctx, o.entry, do)
	}
	p.writePods(ctx, o, do.Write)
	do.Next = earlier(do.Next, p.ask(ctx, o.entry, do.Talk.Ask))
	if err != nil {
		return 0, err
	}
	return p.end(ctx, o, do), nil
}

// take stops and begins to serve the Node's pods.
func (p *Provider) take(o observation, do lifecycle.Actions) {
	if do.LetGo {
		p.pods.Forget(o.node)
	}
	if do.Begin {
		p.pods.Serve(o.node, o.facts.Now)
	}
}

// note logs and counts a change of readiness.
func (p *Provider) note(r *entry, c *lifecycle.Change) {
	if c == nil {
		return
	}
	if c.Is == plan.ReasonIdentityConflict {
		p.meter.Conflict()
	}
	p.log.Info("base readiness changed", zap.Stringer("base", r.id), zap.String("reason", c.Is), zap.String("was", c.Was))
}

// end says that a base is drained or settled, and gives how long until the next look.
func (p *Provider) end(ctx context.Context, o observation, do lifecycle.Actions) time.Duration {
	if do.NeedCurrent && p.confirm(ctx, o) {
		do.Next = o.facts.Now
	}
	if do.Drained {
		p.deps.Owner.Drained(o.id)
	}
	if do.Settled {
		o.inbox.settle(o.base.Modules())
	}
	o.inbox.summarize(do.Summary)
	if !do.Next.After(o.facts.Now) {
		p.queue.Add(o.id) // it is looked at again when this look is over
		return 0
	}
	return max(time.Until(do.Next), minWait)
}

// minWait bounds how often a base is looked at by itself, whatever is due.
const minWait = 10 * time.Millisecond

// confirm asks the API server whether the pods that were seen are as new as the claim.
func (p *Provider) confirm(ctx context.Context, o observation) bool {
	fresh, err := p.pods.Confirm(ctx, o.node, o.version, o.facts.Pods, o.facts.Now)
	if err != nil {
		p.log.Info("cannot read pods", zap.Stringer("base", o.id), zap.Error(err))
	}
	return fresh == pods.Current
}

// earlier gives the earlier of two times that are not zero.
func earlier(a, b time.Time) time.Time {
	switch {
	case a.IsZero():
		return b
	case b.IsZero(), a.Before(b):
		return a
	}
	return b
}
