package lifecycle

import (
	"cmp"
	"errors"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// talk is the state of the conversation with the base over its tunnel. All of it belongs
// to the claim under which the base is served.
type talk struct {
	// followed is the heartbeat that the tunnel was given; its Base is empty while the
	// base is not followed.
	followed tunnel.Heartbeat
	// listAsked and healthAsked are when these were last asked for; zero means ask at
	// once, or at askAgain.
	listAsked, healthAsked time.Time
	// askAgain is when a base is asked again that its tunnel does not hear yet; zero
	// otherwise.
	askAgain time.Time
	// notFollowed is how many requests in a row its tunnel could not send yet.
	notFollowed int
	// unanswered is when the first request was sent since the base last answered.
	unanswered time.Time
	// reachable: our link is up and the base was heard over it since it came up. A message sent
	// before the base is back at the broker too would be lost. And whether its Pod is there is
	// known: the address of one that is gone may be anybody's.
	reachable bool
	// installed is when the base last said that it has done what a baseline said.
	installed time.Time
	// owed is how many lists were asked for that have not come.
	owed int
	// stirred is when something was uncertain last; zero for not since the base is served.
	stirred time.Time
	// stirs: something was told since the last Turn that makes it uncertain.
	stirs bool
	// booked is the place in the budget of what is asked next, which is paid for; zero for
	// none.
	booked time.Time
}

// Talk is what is said to the base and its tunnel, in this order.
type Talk struct {
	Unfollow string            // the tunnel that is to forget the base; empty for none
	Follow   *tunnel.Heartbeat // what the base's tunnel is to know; nil while it knows
	Send     []plan.Planned    // commands, with request ids
	Ask      []tunnel.Verb     // requests and answers that change nothing; the first that is not followed ends them
	// Spend is how many questions the budget is charged with: those of Ask, and one whose
	// place in it was booked.
	Spend int
}

const (
	// askBase is the pause before a module list is asked for again when it is needed and
	// has not come; it doubles with each list that is owed.
	askBase = 300 * time.Millisecond
	// A base that its tunnel does not hear yet is asked again after followPause, doubled
	// each time up to followPauseMax.
	followPause    = 20 * time.Millisecond
	followPauseMax = time.Second
)

// route tells the base's tunnel where the base is when that changed, and the one that it
// was followed through before that it is there no more.
func (b *Base) route(in Facts) Talk {
	var t Talk
	if was := b.talk.followed; was.Base == b.id && was.Tunnel != b.about.heartbeat.Tunnel {
		t.Unfollow = was.Tunnel
	}
	if h := b.about.heartbeat; h.Restarted || addressOf(h) != addressOf(b.talk.followed) {
		t.Follow = &h
		b.about.heartbeat.Restarted = false
		b.talk.followed = b.about.heartbeat
	}
	link := in.Links[b.about.heartbeat.Tunnel]
	b.talk.reachable = link.Up && b.about.lastSeen.After(link.Since) && in.Place.Workload != plan.WorkloadUnseen
	return t
}

// address is what a tunnel must know to reach a base.
type address struct {
	base     tunnel.BaseID
	tunnel   string
	endpoint tunnel.Endpoint
}

func addressOf(h tunnel.Heartbeat) address { return address{h.Base, h.Tunnel, h.Endpoint()} }

// ask adds the questions that are due, and gives when the next is; zero over a link that is
// down: when it is up again, every base is reconciled.
func (b *Base) ask(in Facts, n need, do *Actions) (next time.Time) {
	t := &do.Talk
	if !in.Links[b.talk.followed.Tunnel].Up {
		return time.Time{}
	}
	room := cmp.Or(b.talk.booked, in.Room)
	if b.listDue(in, n).due(in.Now, room) {
		b.talk.listAsked = in.Now
		b.talk.owed++
		t.Ask = append(t.Ask, tunnel.ListModules)
		if b.seen.listed.IsZero() { // who waited so far needs it now
			n = awaited
		}
	}
	if b.healthDue(n).due(in.Now, room) {
		b.talk.healthAsked = in.Now
		b.seen.metaspace.ask(b.ledger.Attempts)
		t.Ask = append(t.Ask, tunnel.ReadHealth)
	}
	list, health := b.listDue(in, n), b.healthDue(n)
	do.Silence.Ask, do.Silence.NotBefore = list.silent.Ask, list.silent.NotBefore
	t.Spend = b.spend(in, len(t.Ask), list.waits(in.Now, in.Room) || health.waits(in.Now, in.Room))
	return earliest(list.at(room), health.at(room))
}

// answer adds the answer to a base that asked what to install. It costs no question. One that
// asked longer ago has its modules by now, or had its answer of another replica.
func (b *Base) answer(in Facts, t *Talk) {
	switch {
	case !in.Links[b.talk.followed.Tunnel].Up, b.about.asks.IsZero():
		return
	case in.Now.Sub(b.about.asks) >= b.cfg.StaleAfter:
		b.about.asks = time.Time{}
		return
	}
	t.Ask = append(t.Ask, tunnel.AnswerBaseline)
}

// spend gives what the budget is charged with: what is asked now, unless it is paid for,
// and a place for what waits. Those that read one budget at a time may get one place.
func (b *Base) spend(in Facts, asked int, waits bool) int {
	paid := !b.talk.booked.IsZero()
	switch {
	case asked > 0:
		b.talk.booked = time.Time{}
	case paid, !waits:
		return 0
	default:
		b.talk.booked = in.Room
		return 1
	}
	if paid {
		return asked - 1
	}
	return asked
}

// listDue is when the module list should be asked for next. A base of which nothing is
// uncertain is asked again once it has been so for twice as long, a silent one before it is
// stale.
func (b *Base) listDue(in Facts, n need) span {
	asked := b.talk.listAsked
	if asked.IsZero() {
		return b.firstAsk(n)
	}
	soon := asked.Add(b.cfg.ListEvery)
	switch {
	case n == awaited:
		return promptly(earliest(soon, asked.Add(askBase<<min(b.talk.owed, maxRequests))))
	case !b.heard():
		return promptly(soon)
	}
	quiet := asked.Sub(b.quietSince(in))
	if quiet <= b.cfg.ListEvery {
		return promptly(soon)
	}
	return span{
		from: asked.Add(min(quiet, b.cfg.QuietEvery)), until: asked.Add(b.cfg.QuietEvery),
		silent: Silence{Since: b.about.lastSeen, Ask: b.cfg.StaleAfter / 2, NotBefore: soon},
	}
}

// heard says that the list came that was asked for last.
func (b *Base) heard() bool { return !b.seen.listed.Before(b.talk.listAsked) }

// quietSince is since when nothing of the base is uncertain.
func (b *Base) quietSince(in Facts) time.Time {
	return later(later(b.since, b.talk.stirred), in.Links[b.talk.followed.Tunnel].Since)
}

// healthDue is when the health should be asked for next.
func (b *Base) healthDue(n need) span {
	switch {
	case b.talk.healthAsked.IsZero():
		return b.firstAsk(n)
	case b.seen.health == nil, b.seen.metaspace.outdated:
		return promptly(b.talk.healthAsked.Add(min(b.cfg.ListEvery, b.cfg.HealthEvery)))
	}
	due := b.talk.healthAsked.Add(b.cfg.HealthEvery)
	return span{from: due, until: due.Add(b.cfg.ListEvery)}
}

// firstAsk is when a base is asked that was not asked yet.
func (b *Base) firstAsk(n need) span {
	switch {
	case !b.talk.askAgain.IsZero():
		return promptly(b.talk.askAgain)
	case n > patient:
		return promptly(b.since)
	}
	return span{from: b.since, until: b.since.Add(b.cfg.ListEvery)}
}

// Asked takes in what became of a request that Actions.Talk.Ask named. It gives when the
// base is to be reconciled again for it; the zero time means not for that.
func (b *Base) Asked(v tunnel.Verb, at time.Time, err error) (again time.Time) {
	t := &b.talk
	if v == tunnel.AnswerBaseline && (err == nil || errors.Is(err, tunnel.ErrUnsupported)) {
		b.about.asks = time.Time{}
		return time.Time{} // runtimes differ in whether they answer it
	}
	if errors.Is(err, tunnel.ErrNotFollowed) {
		t.listAsked, t.healthAsked, t.owed = time.Time{}, time.Time{}, 0
		t.askAgain = at.Add(min(followPause<<min(t.notFollowed, 10), followPauseMax))
		t.notFollowed++
		t.owes(at) // a broker may refuse the subscription for ever
		return t.askAgain
	}
	t.notFollowed, t.askAgain = 0, time.Time{}
	if err == nil {
		t.owes(at)
	}
	return time.Time{}
}

// Sent takes in that a command of Actions.Talk.Send is on its way. One that is not is
// planned anew.
func (b *Base) Sent(c plan.Planned, at time.Time) {
	b.ledger.Attempts[c.Module.Name] = b.ledger.Attempts[c.Module.Name].Next(c, at, b.seen.Modules)
	b.talk.owes(at)
}

// owes notes that the base has a request to answer. What is sent to one that is not
// reachable may be lost, and proves nothing.
func (t *talk) owes(since time.Time) {
	if !t.reachable {
		return
	}
	if t.unanswered.IsZero() {
		t.unanswered = since
	}
}

// Tunnel is the name of the tunnel that the base is followed through; empty for none.
func (b *Base) Tunnel() string { return b.talk.followed.Tunnel }
