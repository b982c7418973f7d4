package provider

import (
	"context"
	"errors"
	"time"

	"go.uber.org/zap"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/provider/pods"
	"module-controller/shard"
	"module-controller/tunnel"
)

// sync is one reconciliation of a base: observe, decide, perform. It returns how long until the
// next one if nothing happens.
func (p *Provider) sync(ctx context.Context, id tunnel.BaseID) (time.Duration, error) {
	seen, known := p.observe(id)
	if !known {
		return 0, nil
	}
	do := seen.base.Turn(seen.facts)
	seen.trace(ctx, p.deps.Traces, do)
	seen.inbox.bind(seen.base.Incumbent(), p.cfg.StaleAfter) // before its new place is followed
	p.bases.bind(seen.entry, seen.base.Workload())
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
	if in.NewWait = p.deps.Owner.NewWait(); in.NewWait {
		p.bases.door.hold(in.Now)
	}
	if p.bases.door.overdue(id, in.Links[r.first.Tunnel], in.Now) {
		p.letGo(r, in.Now)
		return o, false
	}
	if r.base.Vanished(*in) { // before the claim is asked for: asking makes a Lease
		p.bases.remove(r)
		p.deps.Owner.Retire(id) // or the owner would keep what was asked of it for ever
		return o, false
	}
	in.Right, in.Claim = right(p.deps.Owner, id)
	in.ServerVersion = p.server.get()
	in.Place = p.deps.Workloads.Place(r.base.Workload())
	in.Now = time.Now()
	in.Room = p.tunnels.budget.room(in.Now)
	if in.Right == lifecycle.Valid {
		in.Noted = plan.Noted(p.deps.Owner.Noted(id))
		o.version = p.pods.Version()
		in.Current = p.pods.Freshness(r.node, o.version, in.Now) == pods.Current
		var again time.Duration
		in.Writing = p.pods.Writing(r.node)
		if in.Pods, again = p.pods.On(r.node, in.Now); again > 0 {
			p.queue.AddAfter(id, again)
		}
		in.Kubelet = p.deps.Kubelets.At(r.node, plan.KubeletOf(in.Node), p.nodes.othersAt(r.node))
		in.Failures = p.history.recall(id, in.Pods)
		in.Pods = p.pods.probe(r, in)
	} else {
		p.pods.probes.Pause(r.node)
	}
	return o, true
}

// right says what this replica may do for a base. Asking registers interest in it.
func right(owner Owner, id tunnel.BaseID) (lifecycle.Right, shard.Claim) {
	claim, valid := owner.Claim(id)
	switch {
	case valid:
		return lifecycle.Valid, claim
	case owner.Held(id):
		return lifecycle.Held, shard.Claim{}
	}
	return lifecycle.NotHeld, shard.Claim{}
}

// adoptClaimed makes a record of a base that was claimed although it was not heard here:
// its Node tells of it. It gives nil where there is nothing to serve.
func (p *Provider) adoptClaimed(id tunnel.BaseID) *entry {
	name, err := plan.NodeName(id)
	if err != nil || !p.deps.Owner.Held(id) {
		p.history.heard(id)
		return nil
	}
	node := p.nodes.get(name)
	if node == nil {
		if p.history.givesUp(id, time.Now(), p.cfg.StaleAfter) {
			p.deps.Owner.Retire(id)
		} else {
			p.queue.AddAfter(id, time.Second)
		}
		return nil
	}
	p.history.heard(id)
	r, err := p.bases.adoptNode(node)
	if err != nil {
		p.log.Warn("dropping base: its Node cannot be served by this replica", zap.Stringer("base", id), zap.Error(err))
		p.deps.Owner.Retire(id) // a Lease that is renewed would keep the Node Ready for ever
	}
	return r
}

// perform does what a Turn said, from top to bottom. A Node that is there and cannot be
// written keeps nothing else from being done.
func (p *Provider) perform(ctx context.Context, o observation, do lifecycle.Actions) (time.Duration, error) {
	if do.LetGo {
		p.pods.Forget(o.node)
		p.deps.Kubelets.Forget(o.node)
	}
	if do.Remember.Installed != nil || do.LetGo || do.Begin {
		o.installed.Store(noted(do.Remember.Installed))
	}
	if do.Begin {
		p.pods.Serve(o.node, o.facts.Now)
	}
	if o.facts.Writing && o.facts.Claim.Phase > shard.Owned { // the handover waits for it
		p.pods.Hurry(o.node)
	}
	p.tunnels.budget.spend(do.Talk.Spend, o.facts.Now)
	p.tunnels.follow(o.id, do.Talk)
	note(p.log.With(zap.Stringer("base", o.id)), p.meter, do.News)
	if do.Retire != nil {
		return 0, p.retire(ctx, o.entry, *do.Retire)
	}
	p.history.remember(o.id, do.Remember.Failures)
	p.pods.Renew(o.node, do.Renew)
	there, err := p.writeNode(ctx, o, do.Write)
	if there && do.Write.Show {
		p.pods.Show(o.node)
		p.send(ctx, o, do.Talk)
	}
	err = errors.Join(err, p.writePods(ctx, o, do.Write))
	if again := p.tunnels.ask(ctx, o.entry, do.Talk.Ask); !again.IsZero() {
		p.queue.AddAfter(o.id, time.Until(again))
	}
	if do.NeedCurrent && p.pods.Confirm(ctx, o.node, o.version, o.facts.Pods, o.facts.Now) == pods.Current {
		do.Next = o.facts.Now
	}
	if err != nil {
		return 0, err
	}
	return p.end(o, do), nil
}

// noted is what a record keeps for the Lease; nil for nothing.
func noted(installed map[tunnel.ModuleKey]bool) *map[tunnel.ModuleKey]bool {
	if installed == nil {
		return nil
	}
	return &installed
}

// note logs and counts what is new of a base.
func note(log *zap.Logger, meter Meter, n lifecycle.News) {
	for _, e := range n.Ended {
		meter.Commanded(string(e.Verb), string(e.Result))
	}
	if h := n.Contested; h != nil {
		log.Info("base contested: the heartbeat is not believed while the base lives", from(*h)...)
	}
	if h := n.Moved; h != nil {
		log.Info("base moved", from(*h)...)
	}
	if c := n.Changed; c != nil {
		if c.Is == plan.ReasonIdentityConflict {
			meter.Conflict()
		}
		log.Info("base readiness changed", zap.String("reason", c.Is), zap.String("was", c.Was))
	}
}

// from tells who sent a heartbeat.
func from(h tunnel.Heartbeat) []zap.Field {
	return []zap.Field{
		zap.String("tunnel", h.Tunnel), zap.Stringer("endpoint", h.Endpoint()), zap.String("workload", h.Sender.Workload),
		zap.String("name", h.Name), zap.String("cluster", h.Cluster), zap.String("hostname", h.Hostname),
	}
}

// writeNode writes the Node, and says whether it is there: pods without one are collected.
func (p *Provider) writeNode(ctx context.Context, o observation, w lifecycle.Write) (there bool, err error) {
	found, err := p.nodes.write(ctx, o.base, w)
	if found {
		p.queue.Add(o.id)
	}
	return err == nil || w.Was != nil, err
}

// send sends the commands, each if the claim still allows it: what came before may have
// taken long.
func (p *Provider) send(ctx context.Context, o observation, talk lifecycle.Talk) {
	may := func() bool { return o.base.MaySend(right(p.deps.Owner, o.id)) }
	if !p.tunnels.send(ctx, o.entry, talk.Send, may) {
		p.queue.AddAfter(o.id, sendPause)
	}
}

// end says that a base is drained or settled, and gives how long until the next one.
func (p *Provider) end(o observation, do lifecycle.Actions) time.Duration {
	if do.Drained {
		p.deps.Owner.Drained(o.id)
	}
	if do.Settled {
		o.inbox.settle(o.base.Modules())
	}
	o.inbox.listen(do.Silence)
	o.inbox.summarize(do.Summary)
	return max(time.Until(do.Next), time.Nanosecond)
}

// sendPause is how soon a base is reconciled again whose command did not leave.
const sendPause = time.Second
