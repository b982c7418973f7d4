package lifecycle

import (
	"cmp"
	"time"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// Turn says what a base needs now. Only Turn changes a phase, and Retired, when all is done.
func (b *Base) Turn(in Facts) Actions {
	b.absorb(in.Mail)
	in.Node = b.node.there(in.Node)
	if b.reclaimed(in) || in.Right == NotHeld {
		return b.letGo(in)
	}
	if !b.phase.served() {
		return b.take(in)
	}
	switch to := b.destination(in); to {
	case Suspended:
		b.become(Suspended)
		return Actions{Next: in.Now.Add(b.cfg.GoneAfter)} // the owner wakes it before
	case Drained:
		return b.drained(in)
	default:
		b.become(to)
		return b.serve(in)
	}
}

// reclaimed says that the claim was lost and won again: somebody else may have served
// the base in between.
func (b *Base) reclaimed(in Facts) bool {
	if in.Right < Valid {
		return false
	}
	return b.phase.served() && in.Claim.Epoch != b.epoch
}

// letGo stops serving a base that is not ours, or is so again.
func (b *Base) letGo(in Facts) Actions {
	do := Actions{Next: in.Now.Add(b.cfg.GoneAfter)}
	if b.phase.served() {
		do.LetGo, do.Summary = true, &Summary{}
		do.Talk.Unfollow = b.release(Foreign)
	}
	b.become(Foreign)
	if in.Right == Valid {
		b.begin(in)
		do.Begin, do.Next = true, in.Now
	}
	return do
}

// take begins to serve a base that is ours, once we may act for it.
func (b *Base) take(in Facts) Actions {
	if in.Right < Valid {
		b.become(Foreign)
		return Actions{Next: in.Now.Add(b.cfg.GoneAfter)}
	}
	b.begin(in)
	return Actions{Pods: Pods{Begin: true}, Next: in.Now}
}

// destination is the phase that a served base comes to by its claim. A base that is
// drained stays so until its claim says that it is to stay here: the next owner may have
// it already.
func (b *Base) destination(in Facts) Phase {
	drained := b.phase == Drained
	switch {
	case in.Right == Held:
		if drained {
			return Drained
		}
		return Suspended
	case in.Claim.Phase == shard.Forced: // whatever is in flight
		return Drained
	case in.Claim.Phase == shard.Draining:
		if drained {
			return Drained
		}
		return Draining
	}
	return Serving
}

// drainPause is how soon it is checked again whether a base that drains is drained.
const drainPause = 20 * time.Millisecond

// drained hands the base off, once the writes have ended that are on their way.
func (b *Base) drained(in Facts) Actions {
	if b.phase < Drained && in.Writing {
		b.become(Draining)
		return Actions{Next: in.Now.Add(drainPause)}
	}
	b.become(Drained)
	return Actions{Drained: in.Right == Valid, Next: in.Now.Add(b.cfg.ListEvery)}
}

// serve does everything for a base that we may act for.
func (b *Base) serve(in Facts) Actions {
	if in.Claim.Since.After(b.since) { // silence while we could not ask does not count
		b.since, b.talk.unanswered = in.Claim.Since, time.Time{}
	}
	next, due := b.successor(in)
	switch {
	case next == nil:
	case application(*next) != application(b.about.heartbeat):
		return Actions{Retire: &Retirement{
			Why: "it is gone, and another application has its identity", Node: b.node.catchUp(in.Node), Evict: true, Successor: next,
		}}
	default:
		return b.moved(in, *next)
	}
	do := Actions{News: News{Contested: b.contested(in)}}
	return b.show(in, do, b.tellContest(do.Contested), due)
}

// moved serves a base that is followed at another place from now on.
func (b *Base) moved(in Facts, to tunnel.Heartbeat) Actions {
	told := tellMove(b.about.heartbeat, to)
	b.move(to, in.Now)
	in.Place = plan.Place{} // that was the one before
	return b.show(in, Actions{News: News{Moved: &to}}, told)
}

// show says what the base's Node and pods are to show and what is sent, beside what is to
// be told of it. Times are when to reconcile again at the latest.
func (b *Base) show(in Facts, do Actions, told []plan.Event, times ...time.Time) Actions {
	conflict, conflictEnds := b.conflict(in)
	do.Talk = b.route(in)
	input := b.ageInput(in, b.alive(in))
	input.Conflict = conflict
	age := AgeOf(input)
	if age.Stage == Expired {
		do.Retire = b.expire(in, age)
		return do
	}
	do.Changed = b.node.changed(age)
	do.Silence.Since = b.about.lastSeen
	if !age.Silent.IsZero() {
		do.Silence.Stale = b.cfg.StaleAfter
	}
	b.unready.follow(age.NotReady, later(in.Now, conflictEnds), b.seen.listed)

	out := b.plan(in, age, conflict)
	differ := podWritesOf(out.Statuses)
	if !in.Current && (len(out.Commands) > 0 || !differ.none()) {
		do.NeedCurrent = true
		out, differ = withheld(b.ledger.Memory, out), podWrites{}
	}
	do.Renew = out.Stale
	do.Remember.Failures, do.Ended = b.ledger.remember(out), out.Ended
	do.Talk.Send = b.ledger.issue(b.affordable(in, out), b.epoch)
	do.Remember.Installed = b.ledger.Installed
	told = append(told, b.tellExcess()...)
	do.Write = b.write(in, age, out, differ, append(told, conflictEvent(do.Changed, conflict)...))
	b.wait(in, out, &do, append(times, age.Next, conflictEnds, b.newDue(in))...)
	return do
}

// wait ends a Turn: it asks what is due, says when to reconcile again, and lets a base that
// drains be handed off once nothing is in flight and everything is written.
func (b *Base) wait(in Facts, out plan.Output, do *Actions, times ...time.Time) {
	writes := do.Write.Node != nil
	switch {
	case b.phase < Draining:
		asks := b.ask(in, b.needs(in, out, do), do)
		b.answer(in, &do.Talk)
		do.Settled = b.quiet(out)
		do.Summary = b.summary(out)
		times = append(times, out.Next, b.nodeDue(in.Now, writes), asks)
	case b.ledger.Pending():
		if out.Ask {
			times = append(times, b.ask(in, awaited, do))
		}
		times = append(times, out.Next, b.nodeDue(in.Now, writes))
	case writes, in.Writing, len(do.Write.Pods) > 0:
		times = append(times, in.Now.Add(drainPause))
	default:
		b.become(Drained)
		do.Drained = true
		times = []time.Time{in.Now.Add(b.cfg.ListEvery)}
	}
	if do.NeedCurrent {
		times = append(times, in.Now.Add(podsPause))
	}
	do.Next = earliest(times...)
	if soonest := in.Now.Add(minWait); do.Next.Before(soonest) {
		do.Next = soonest
	}
}

// needsList says that something waits for the base's list.
func (b *Base) needsList(in Facts, out plan.Output) bool {
	switch {
	case out.Ask, !b.talk.reachable, b.unready.returned, b.changes():
		return true
	}
	return b.probes(in)
}

// changes says that the base has done what a baseline said since the list was asked for that
// is known: it may have modules that nobody here asked for.
func (b *Base) changes() bool { return b.talk.installed.After(b.seen.Listed) }

// minWait bounds how often a base is reconciled by itself, whatever is due.
const minWait = 10 * time.Millisecond

// podsPause is how soon it is checked again whether the cache of pods has caught up.
const podsPause = 50 * time.Millisecond

// quiet says that there is nothing to do until the base's list differs.
func (b *Base) quiet(out plan.Output) bool {
	switch {
	case out.Ask, len(out.Commands) > 0, b.changes():
		return false
	case b.unready.reason != "": // any message may end it
		return false
	}
	return len(b.ledger.Attempts) == 0
}

// changed takes over how the Node is to show, and gives what changed; nil for nothing.
func (n *nodeCopy) changed(age Age) *Change {
	was := n.notReady
	n.notReady = age.NotReady
	if was == age.NotReady {
		return nil
	}
	return &Change{Was: was, Is: age.NotReady}
}

func conflictEvent(c *Change, conflict string) []plan.Event {
	if c == nil || c.Is != plan.ReasonIdentityConflict {
		return nil
	}
	return []plan.Event{{Warning: true, Reason: plan.ReasonIdentityConflict, Message: conflict}}
}

// summary is what gauges show of the base.
func (b *Base) summary(out plan.Output) *Summary {
	s := &Summary{Served: true, Ready: b.node.notReady == "", Unmanaged: len(out.Unmanaged)}
	for _, m := range b.seen.Modules {
		if m.State == tunnel.Activated {
			s.Modules++
		}
	}
	return s
}

// MaySend says whether commands that a Turn gave may still be sent under the claim that
// is held now: performing what comes before them may have taken long.
func (b *Base) MaySend(right Right, claim shard.Claim) bool {
	switch {
	case right < Valid, claim.Epoch != b.epoch:
		return false
	}
	return claim.Phase == shard.Owned
}

// Vanished says of a base that is not served that it is neither heard nor a Node. It is
// asked before the claim is: asking for the claim would make its Lease anew.
func (b *Base) Vanished(in Facts) bool {
	if b.phase.served() || in.Node != nil {
		return false
	}
	heard := cmp.Or(in.Mail.LastSeen, b.about.lastSeen, b.since)
	return in.Now.Sub(heard) >= b.cfg.StaleAfter
}

// Retired takes in that the base's Node is deleted. It gives the tunnel that is to
// unfollow the base; empty for none.
func (b *Base) Retired() (unfollow string) { return b.release(Gone) }
