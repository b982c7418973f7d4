package provider

import (
	"cmp"
	"context"
	"maps"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// sync looks at all that is known of a base and does what follows from it. It
// returns how long until it should look again if nothing happens.
func (p *Provider) sync(ctx context.Context, id tunnel.BaseID) (time.Duration, error) {
	b := p.bases.get(id)
	if b == nil {
		if b = p.adoptClaimed(id); b == nil {
			return 0, nil
		}
	}
	m := b.take()
	b.absorb(m)
	now := time.Now()
	if !b.owned && p.vanished(b, now) {
		p.bases.remove(b)
		return 0, nil
	}
	claim, held := p.claimOf(b)
	if !held {
		return p.cfg.GoneAfter, nil // the owner says when that changes
	}
	if !b.owned {
		p.serve(b, claim, now)
	}
	if claim.Phase == shard.Forced || claim.Phase == shard.Draining && b.yielded {
		return p.yield(b), nil
	}
	b.yielded = false
	if claim.Since.After(b.adopted) { // who might not ask must not wonder that nobody answered
		b.adopted, b.unanswered = claim.Since, time.Time{}
	}
	conflict, conflictEnds := m.origins.conflict(now, p.cfg.StaleAfter)
	if b.takenOver != nil && conflict == "" {
		return 0, p.replaceApplication(ctx, b)
	}
	p.chooseTunnel(b, now)
	p.follow(b)
	age := p.ageOf(b, now, conflict)
	if age.Gone {
		return 0, p.retire(ctx, b, "the base was not heard for too long")
	}
	p.noteAge(b, age, conflict)

	seen := p.shown.version() // read before the pods are: they are at least as new
	pods := p.pods.onNode(b.node)
	out := plan.Modules(p.inputOf(b, now, age, conflict, pods))
	if !idle(out) && !p.seesPods(ctx, b, seen, pods) {
		out = withheld(b, out, now)
	}
	p.remember(b, out)
	commands := p.affordable(b, claim, now, out)
	b.installed = b.withInstalled(commands)
	noteDue := b.noteInstalled(now, claim.Phase >= shard.Draining)
	if err := p.ensureNode(ctx, b, age, now, pods); err != nil {
		p.show(ctx, b, out) // what has ended is told nowhere else
		return 0, err
	}
	p.shown.claim(b.node)
	if still, held := p.deps.Owner.Claim(id); held && still.Phase < shard.Draining && still.Epoch == claim.Epoch {
		p.send(ctx, b, claim, commands) // the write of the Node may have taken long
	}
	p.show(ctx, b, out)
	if claim.Phase >= shard.Draining {
		return p.leave(ctx, b, now, out), nil
	}
	needed := out.Ask || !p.heardOverThisLink(b)
	p.poll(ctx, b, now, needed)
	b.summarize(out)
	if len(out.Commands) == 0 && len(b.attempts) == 0 && !out.Ask {
		b.settle(b.modules)
	}
	return p.nextLook(b, now, needed, out.Next, age.Next, conflictEnds, noteDue), nil
}

func (p *Provider) ageOf(b *base, now time.Time, conflict string) plan.Age {
	link := p.bases.link(b.beat.Tunnel)
	return plan.AgeOf(plan.AgeInput{
		Now: now, Heard: b.heardAt, Adopted: b.adopted, Unanswered: b.unanswered, Was: b.notReady, Conflict: conflict,
		LinkUp: link.Up, LinkSince: link.Since,
		StaleAfter: p.cfg.StaleAfter, AnswerAfter: p.cfg.AnswerAfter,
		GoneAfter: p.cfg.GoneAfter, LinkGrace: p.cfg.LinkGrace,
	})
}

// noteAge logs and counts what changed in a base's readiness.
func (p *Provider) noteAge(b *base, age plan.Age, conflict string) {
	if conflict != "" && b.notReady != plan.ReasonIdentityConflict {
		p.meter.Conflict()
		p.deps.Recorder.Event(nodeRef(b), corev1.EventTypeWarning, plan.ReasonIdentityConflict, conflict)
	}
	if age.NotReady != b.notReady {
		p.log.Info("base readiness changed", zap.Stringer("base", b.id), zap.String("reason", age.NotReady), zap.String("was", b.notReady))
	}
	b.notReady = age.NotReady
}

func (p *Provider) inputOf(b *base, now time.Time, age plan.Age, conflict string, pods []plan.Pod) plan.Input {
	p.recall(b, pods)
	return plan.Input{
		Now: now, Base: b.id, IP: b.beat.IP, Started: b.started,
		Live:     p.heardOverThisLink(b) && age.NotReady != plan.ReasonBaseSilent,
		Conflict: conflict, Features: b.features,
		Since: b.adopted, LinkSince: p.bases.link(b.beat.Tunnel).Since, List: b.modules, Listed: b.listed, Inert: b.inert,
		Pods: pods, Attempts: b.attempts, Failures: b.failures, Installed: b.installed, Unwanted: b.unwanted,
		Config: p.cfg.Plan,
	}
}

// heardOverThisLink says whether our link is up and the base was heard since it
// came up: a command sent before the base is back at the broker too would be lost.
func (p *Provider) heardOverThisLink(b *base) bool {
	link := p.bases.link(b.beat.Tunnel)
	return link.Up && b.heardAt.After(link.Since)
}

// recall takes back what was remembered of failures of modules that had no pod,
// for pods that want them again.
func (p *Provider) recall(b *base, pods []plan.Pod) {
	for _, pod := range pods {
		for _, key := range plan.Wanted(pod.Pod) {
			if _, known := b.failures[key]; known {
				continue
			}
			if f, ok := p.failures.Get(failureKey{b.id, key}); ok {
				b.failures[key] = f
			}
		}
	}
}

// remember keeps what the planner wants kept, and moves failures that no pod
// waits for to the bounded memory.
func (p *Provider) remember(b *base, out plan.Output) {
	b.attempts, b.installed, b.unwanted = out.Attempts, out.Installed, out.Unwanted
	wanted := map[tunnel.ModuleKey]bool{}
	for _, s := range out.Statuses {
		for _, key := range plan.Wanted(s.Pod.Pod) {
			wanted[key] = true
		}
	}
	b.failures = maps.Clone(out.Failures)
	for key, f := range out.Failures {
		if !wanted[key] {
			p.failures.Add(failureKey{b.id, key}, f)
			delete(b.failures, key)
		}
	}
	if b.attempts == nil {
		b.attempts = map[string]plan.Attempt{}
	}
	if b.failures == nil {
		b.failures = map[tunnel.ModuleKey]plan.Failure{}
	}
	if b.installed == nil {
		b.installed = map[tunnel.ModuleKey]bool{}
	}
}

// affordable gives the commands that may be sent now: the base's cap is kept, and
// the claim outlives the time in which they act.
func (p *Provider) affordable(b *base, claim shard.Claim, now time.Time, out plan.Output) []plan.Planned {
	if claim.Phase >= shard.Draining || !claim.Outlives(now) {
		return nil // what leaves later than that is refused where it leaves
	}
	room := max(p.cfg.CommandsPerBase-b.underWay()-out.Inherited, 0)
	return out.Commands[:min(room, len(out.Commands))]
}

// nextLook is how long until something changes by itself. Whatever is heard wakes
// the base before that.
func (p *Provider) nextLook(b *base, now time.Time, needed bool, times ...time.Time) time.Duration {
	if p.bases.link(b.followed.Tunnel).Up { // when it is up again, all bases are looked at
		times = append(times, p.listDue(b, needed), p.healthDue(b))
	}
	if patience := b.adopted.Add(healthPatience); b.touched.IsZero() && now.Before(patience) {
		times = append(times, patience)
	} else {
		times = append(times, cmp.Or(b.touched, now).Add(p.cfg.NodeEvery))
	}
	var next time.Time
	for _, t := range times {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	return max(next.Sub(now), minLook)
}

// minLook bounds how often a base is looked at by itself, whatever is due.
const minLook = 10 * time.Millisecond

// runningMemory is the memory that pods request whose modules serve on the base.
func runningMemory(pods []plan.Pod) int64 {
	var sum int64
	for _, pod := range pods {
		if pod.Gone || !podReady(pod.Pod) {
			continue
		}
		for _, c := range pod.Spec.Containers {
			sum += c.Resources.Requests.Memory().Value()
		}
	}
	return sum
}

func podReady(pod *corev1.Pod) bool {
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.ContainersReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}
