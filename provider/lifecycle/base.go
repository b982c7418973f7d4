package lifecycle

import (
	"cmp"
	"maps"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Base is what this replica knows of one base, and how far the base has come here.
type Base struct {
	cfg  Config // completed; never changed
	id   tunnel.BaseID
	name string // of its Node and its Lease

	// phase is changed by become only.
	phase Phase
	// epoch is that of the claim under which the base is served. What is in ledger was
	// done under it.
	epoch int32
	// since is when this process first knew the base, began to serve it, or could act
	// again after a suspension. Silence and unanswered requests from before do not count.
	since time.Time

	about  about
	seen   seen
	talk   talk
	ledger ledger
	node   nodeCopy
	// unready is what the base's pods are told of it.
	unready unready
}

// about is who the base is followed as, and when that one was last heard. It is kept while
// the base is foreign. No contender's word is in it.
type about struct {
	// heartbeat is the incumbent's latest description of itself. Its Restarted holds
	// until the tunnel was told.
	heartbeat tunnel.Heartbeat
	// lastSeen is when its last message of any kind came, through its own tunnel; zero for
	// none yet.
	lastSeen time.Time
	// beat is when its last heartbeat came; zero for none yet. lastSeen is not before it.
	beat time.Time
	// asks is when it asked last what to install; zero once that was answered, and for never.
	asks time.Time
	// ends is the workload that was seen to be deleted; empty for none.
	ends string
	// moved is when it was last followed to another place; zero for never.
	moved time.Time
	// contested is when a contender was last told of; zero for never.
	contested time.Time
	// conflict explains that two live bases share the identity, while they do.
	conflict string
}

// seen is what the base reported of its process. A restart empties it but for features.
type seen struct {
	plan.Seen
	health *tunnel.Health
	// metaspace is what health counts of modules.
	metaspace metaspace
	// answered is when the process first answered anything; zero before.
	answered time.Time
	// listed is when the list came that is known; zero where none is.
	listed time.Time
}

// New makes the record of a base that this process heard, or whose Node it found.
// Installed is what is remembered of modules that were installed on it.
func New(cfg Config, id tunnel.BaseID, name string, h tunnel.Heartbeat, installed map[tunnel.ModuleKey]bool, now time.Time) *Base {
	b := &Base{cfg: cfg, id: id, name: name, about: about{heartbeat: h}}
	if h.Restarted {
		b.about.asks = h.Received
	}
	b.reset(installed, now)
	return b
}

// reset forgets what was learned of the base under another claim, or by hearsay.
func (b *Base) reset(installed map[tunnel.ModuleKey]bool, now time.Time) {
	b.since = now
	b.seen, b.talk, b.node = seen{}, talk{}, nodeCopy{gone: b.node.gone}
	b.ledger, b.unready = newLedger(installed), unready{}
}

// Phase is how far the base has come.
func (b *Base) Phase() Phase { return b.phase }

// Modules are the ones that the base listed last. They must not be changed.
func (b *Base) Modules() []tunnel.Module { return b.seen.Modules }

// become changes the phase and resets what depends on it: what was followed, asked and
// owed was so under a claim.
func (b *Base) become(p Phase) {
	if !p.served() {
		b.talk = talk{}
	}
	b.phase = p
}

// release ends serving the base, and gives the tunnel that is to unfollow it; empty for
// none.
func (b *Base) release(to Phase) (unfollow string) {
	unfollow = b.talk.followed.Tunnel
	b.become(to)
	return unfollow
}

// begin starts to serve the base under a claim. What this process knew of it may be
// wrong: somebody else served it. The Node and the Lease tell what whoever served it knew.
func (b *Base) begin(in Facts) {
	if in.Now.Sub(b.about.lastSeen) >= b.cfg.StaleAfter {
		b.about.lastSeen, b.about.beat = time.Time{}, time.Time{} // whoever served it knows better
	}
	b.reset(b.ledger.Installed, in.Now)
	b.epoch = in.Claim.Epoch
	b.become(Serving)
	if in.Node != nil {
		b.adopt(in.Node, in.Now)
	}
	if in.Noted != nil { // where the Node tells too, an earlier version served the base since
		installed := maps.Clone(b.ledger.Installed)
		maps.Copy(installed, in.Noted)
		b.ledger = newLedger(installed)
	}
}

// adopt goes on where the Node says that whoever served the base before stopped. Who this
// process took for the base, because it was heard first, may be anybody: unless it is the
// one that the Node names, it is a contender from now on.
func (b *Base) adopt(node *corev1.Node, now time.Time) {
	b.node.notReady = plan.NotReadyOf(node)
	b.unready.follow(b.node.notReady, now, b.seen.listed)
	if b.node.notReady == plan.ReasonBaseNotAnswering {
		b.talk.unanswered = now // until it answers
	}
	beat, installed, err := plan.Adopt(node)
	if err != nil {
		return // not a base's Node: its description is written anew
	}
	b.ledger = newLedger(installed)
	known := incumbentOf(beat).Is(b.about.heartbeat)
	if known && !b.about.lastSeen.IsZero() {
		return // what it said of itself lately is newer
	}
	b.about.heartbeat = beat
	if !known {
		b.about.lastSeen, b.about.beat = time.Time{}, time.Time{}
	}
}

// absorb takes in what the base reported. The order is the rule: who it is comes before
// what it says, and a restart after the answers of the process before and before the
// list of the new one.
func (b *Base) absorb(m Mail) {
	b.about.see(m)
	if m.Answering >= Answered {
		b.talk.unanswered = time.Time{}
		b.seen.answered = cmp.Or(b.seen.answered, m.LastSeen)
	}
	if m.Heartbeat != nil {
		h := *m.Heartbeat
		h.Restarted = m.Process == Restarted
		b.absorbHeartbeat(h)
	}
	if m.Features != nil {
		b.seen.Features = *m.Features
	}
	if m.Health != nil {
		b.absorbHealth(*m.Health, m.LastSeen)
	}
	for name, r := range m.Answers {
		b.ledger.absorb(name, r)
	}
	if m.Answering == BaselineDone {
		b.talk.installed = m.LastSeen
	}
	if m.Process == Restarted {
		b.about.asks = m.Beat
		b.restarted(m.LastSeen)
		m.List = nil // it may be of the process before
	}
	was := b.seen.Modules
	if m.List != nil {
		b.seen.absorbList(*m.List)
	}
	b.talk.stir(m.Process == Doubted)
	b.talk.stir(len(m.Answers) > 0)
	b.talk.stir(!slices.Equal(was, b.seen.Modules))
	b.talk.owed = m.Owed
	b.node.lost(m.NodeLost)
}

func (a *about) see(m Mail) {
	if m.LastSeen.After(a.lastSeen) {
		a.lastSeen = m.LastSeen
	}
	if m.Beat.After(a.beat) {
		a.beat = m.Beat
	}
}

// absorbHeartbeat follows the incumbent's description of itself. That it restarted holds
// until its tunnel was told, whatever it says meanwhile.
func (b *Base) absorbHeartbeat(h tunnel.Heartbeat) {
	if !b.Incumbent().Is(h) {
		return // it came before the mailbox knew who the incumbent is
	}
	h.Restarted = h.Restarted || b.about.heartbeat.Restarted
	b.talk.stir(describe(h) != describe(b.about.heartbeat))
	b.about.heartbeat = h
}

// absorbHealth notices a restart by an uptime that fell. An uptime of zero means that
// the base did not say.
func (b *Base) absorbHealth(h tunnel.Health, at time.Time) {
	was := b.seen.health
	b.seen.health = &h
	b.seen.metaspace.told(b.ledger.Attempts)
	if h.Uptime <= 0 {
		return
	}
	if was != nil && h.Uptime < was.Uptime {
		b.restarted(at)
	}
	b.seen.Started = at.Add(-h.Uptime)
}

// restarted forgets what the base's last process knew.
func (b *Base) restarted(at time.Time) {
	b.seen = seen{Seen: plan.Seen{Started: at, Features: b.seen.Features, Partial: b.seen.Partial}, answered: b.seen.answered}
	b.talk.listAsked, b.talk.healthAsked = time.Time{}, time.Time{}
	b.talk.stir(true)
	for name, a := range b.ledger.Attempts {
		a.Restarted = true
		b.ledger.Attempts[name] = a
	}
}

// absorbList takes a list in, unless it was asked for before the one that is known.
func (s *seen) absorbList(r tunnel.Report) {
	switch {
	case r.Asked.IsZero(): // nobody asked: it proves what is there, but not since when
	case r.Asked.Before(s.Listed):
		return // it was on its way for longer than a later one
	default:
		s.Listed = r.Asked
	}
	s.Modules, s.Partial, s.listed, s.Ahead = r.Modules, r.Partial, r.Received, 0
	if !r.Stamp.IsZero() {
		s.Ahead = r.Received.Sub(r.Stamp)
	}
	s.metaspace.listed(r.Modules, s.health != nil)
}
