package lifecycle

import (
	"fmt"
	"strconv"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// contender gives who contends with the incumbent now; nil for nobody.
func (b *Base) contender(in Facts) *tunnel.Heartbeat {
	c := in.Mail.Contest
	if !c.waiting(in.Now, b.cfg.StaleAfter) || b.Incumbent().Is(c.Contender) {
		return nil
	}
	return &c.Contender
}

// successor gives the contender that is believed now, nil for none, and when the one that
// waits will be if the incumbent is not heard; zero for not by itself.
func (b *Base) successor(in Facts) (next *tunnel.Heartbeat, due time.Time) {
	c := b.contender(in)
	if c == nil {
		return nil, time.Time{}
	}
	due = b.goneAt(in, *c)
	switch {
	case in.Place.Workload == plan.WorkloadEnded, b.outranked(in, *c), b.movedItself(in.Now, *c):
		return c, time.Time{}
	case due.IsZero(), in.Now.Before(due):
		return nil, due
	}
	return c, time.Time{}
}

// goneAt is when the incumbent counts as gone if nothing is heard of it; zero while our
// link to it is down, for then our silence is not its own, and while a contender that needs
// time said one thing only.
func (b *Base) goneAt(in Facts, c tunnel.Heartbeat) time.Time {
	age := b.ageInput(in, b.lived(in, c))
	if !age.Link.Up {
		return time.Time{}
	}
	from, _ := age.silentFrom()
	if b.needsTime(in, c) {
		if !in.Mail.Contest.repeated() {
			return time.Time{}
		}
		from = later(from, in.Mail.Contest.Since)
	}
	return from.Add(b.cfg.StaleAfter)
}

// needsTime says that a contender is believed only once it was heard for StaleAfter itself,
// and again: no single message, however late, ends a base. It is so where an answer may be
// either's, since one whose heartbeats died still answers, and where the Node would be
// deleted with its pods.
func (b *Base) needsTime(in Facts, c tunnel.Heartbeat) bool {
	switch {
	case b.Incumbent().shares(c):
		return true
	case !b.admitted(in): // it has no pods, and its answers do not count
		return false
	case application(c) != application(b.about.heartbeat):
		return true
	}
	return !b.answersApart(c)
}

// lived is the incumbent's last sign of life beside a contender. Heartbeats tell who sent
// them; what answers does, too, where the contender cannot be what answers. A base that
// never answered anything is nobody's base yet: its word prolongs nothing.
func (b *Base) lived(in Facts, c tunnel.Heartbeat) time.Time {
	switch {
	case !b.admitted(in):
		return time.Time{}
	case b.answersApart(c):
		return b.about.lastSeen
	}
	return b.about.beat
}

// answersApart says that what answers where the incumbent is asked is not the contender,
// which is reached elsewhere: over another tunnel, or at another endpoint.
func (b *Base) answersApart(c tunnel.Heartbeat) bool {
	was := b.about.heartbeat
	if c.Tunnel != was.Tunnel {
		return true
	}
	return dialed(was) && c.Endpoint() != was.Endpoint()
}

// admitted says whether the base answered, or has a Node, which it got for an answer.
func (b *Base) admitted(in Facts) bool {
	return !b.seen.answered.IsZero() || b.node.catchUp(in.Node) != nil
}

// outranked says that the identity was proved to be the contender's, and of the incumbent
// nothing was but its word.
func (b *Base) outranked(in Facts, c tunnel.Heartbeat) bool {
	if b.admitted(in) || b.about.heartbeat.Sender.Bound {
		return false
	}
	return c.Sender.Bound
}

// movedItself says that the incumbent's own workload speaks from another port or address:
// it may. Twice within StaleAfter it may not, because two processes of one Pod would have
// the base move to and fro. Another application is not believed at once even from there:
// its Node would be deleted, with the pods of all that share the process, on a word of any
// of them. A container that starts as something else waits until its old self is silent.
func (b *Base) movedItself(now time.Time, c tunnel.Heartbeat) bool {
	was := b.about.heartbeat
	switch {
	case was.Sender.Workload == "", c.Sender.Workload != was.Sender.Workload:
		return false
	case c.Tunnel != was.Tunnel, application(c) != application(was):
		return false
	}
	return now.Sub(b.about.moved) >= b.cfg.StaleAfter
}

// move follows the same application at another place. What was learned at the one before,
// and what was sent there, is of another process.
func (b *Base) move(to tunnel.Heartbeat, now time.Time) {
	b.about.heartbeat, b.about.moved = to, now
	b.about.lastSeen, b.about.beat = to.Received, to.Received
	b.restarted(now)
	b.seen.Features = tunnel.Features{}
	b.talk = talk{followed: b.talk.followed, stirred: now}
	b.node.pace = pace{} // it is described anew at once
}

// probes says that a contender came, and that the incumbent was not heard since: it is
// asked, so that its life shows.
func (b *Base) probes(in Facts) bool {
	c := b.contender(in)
	if c == nil || !b.probed(*c) {
		return false
	}
	return !b.about.lastSeen.After(in.Mail.Contest.Since)
}

// probed says that an answer of the incumbent tells that it lives, or that what is at its
// address answers at all.
func (b *Base) probed(c tunnel.Heartbeat) bool { return dialed(b.about.heartbeat) || b.answersApart(c) }

// conflict explains that two live bases share the identity, and until when that is held
// for true if no more is heard. It is empty where there is one base. The words stay while
// it lasts, whoever contends meanwhile: they stand in statuses.
func (b *Base) conflict(in Facts) (string, time.Time) {
	until := in.Mail.Contest.conflict(in.Now, b.cfg.StaleAfter)
	was := &b.about.conflict
	switch {
	case until.IsZero():
		*was = ""
	case *was == "":
		*was = fmt.Sprintf("Two live bases have this identity: %s and %s. Give each its own, or stop one",
			nameOf(b.about.heartbeat), nameOf(in.Mail.Contest.Contender))
	}
	return *was, until
}

// contestedPause is how long nothing more is told of contenders, whoever they are, after
// one was: their number must not become one of Events.
const contestedPause = 10 * time.Minute

// contested gives the contender that is to be told of; nil for none.
func (b *Base) contested(in Facts) *tunnel.Heartbeat {
	c := b.contender(in)
	switch {
	case c == nil, b.speaksTwice(*c):
		return nil
	case !b.about.contested.IsZero() && in.Now.Sub(b.about.contested) < contestedPause:
		return nil
	}
	b.about.contested = in.Now
	return c
}

// speaksTwice says that a contender is the base itself over another tunnel, as far as was
// proved.
func (b *Base) speaksTwice(c tunnel.Heartbeat) bool {
	was := b.about.heartbeat
	switch {
	case c.Tunnel == was.Tunnel, !c.Sender.Bound:
		return false
	}
	return c.IP == was.IP && application(c) == application(was)
}

// tellContest is the Event about a contender.
func (b *Base) tellContest(c *tunnel.Heartbeat) []plan.Event {
	if c == nil {
		return nil
	}
	return []plan.Event{{Warning: true, Reason: plan.ReasonBaseContested, Message: fmt.Sprintf(
		"%s, over %s, says that it is this base, which is %s, over %s. It is not believed and gets nothing until that one was silent for %s or its Pod is gone. If both are meant, give each its own identity",
		nameOf(*c), c.Tunnel, nameOf(b.about.heartbeat), b.about.heartbeat.Tunnel, b.cfg.StaleAfter)}}
}

// tellMove is the Event about a base that was found at another place.
func tellMove(was, to tunnel.Heartbeat) []plan.Event {
	return []plan.Event{{Reason: plan.ReasonBaseMoved, Message: fmt.Sprintf(
		"The base is followed as %s, over %s; it was %s, over %s", nameOf(to), to.Tunnel, nameOf(was), was.Tunnel)}}
}

// nameOf names who sent a heartbeat: application, version, address and host name, as it
// says itself.
func nameOf(h tunnel.Heartbeat) string {
	at := h.IP
	if dialed(h) {
		at = h.Endpoint().String()
	}
	return fmt.Sprintf("%s %s at %s (%s)", visible(h.Name), visible(h.Version), at, visible(h.Hostname))
}

// visible gives a base's word so that it shows as what it is: two that look alike must not.
func visible(word string) string {
	if quoted := strconv.QuoteToASCII(word); quoted != `"`+word+`"` {
		return quoted
	}
	return word
}
