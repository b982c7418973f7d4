package provider

import (
	"maps"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// base is what this process knows of one base. Tunnels write its inbox; the rest
// belongs to the worker that holds the base's key in the queue.
type base struct {
	inbox

	id    tunnel.BaseID
	node  string           // the name of its Node and Lease
	first tunnel.Heartbeat // what made this process know it; never changed
	owned bool             // this replica serves it

	heardAt time.Time
	heardBy map[string]time.Time // by tunnel

	served
}

// served is what is known of a base while it is served.
type served struct {
	beat tunnel.Heartbeat
	// adopted is when this process first knew the base, or began to serve it.
	adopted  time.Time
	followed tunnel.Heartbeat // as the tunnel knows it; zero Base when it does not

	modules  []tunnel.Module
	listed   time.Time
	inert    bool
	health   *tunnel.Health
	started  time.Time // when its process started, by our clock; zero if unknown
	features tunnel.Features

	epoch     int32     // of the claim
	claimed   time.Time // when the claim was seen to be held
	yielded   bool      // it may be handed over, so nothing is written any more
	seesPods  bool      // the cache has shown all pods that were there then
	attempts  map[string]plan.Attempt
	failures  map[tunnel.ModuleKey]plan.Failure
	installed map[tunnel.ModuleKey]bool
	noted     map[tunnel.ModuleKey]bool // what the Node tells of installed
	noteDue   time.Time
	unwanted  map[tunnel.ModuleKey]time.Time

	notReady    string    // the reason that the Node shows, empty when ready
	unanswered  time.Time // the first request since it last answered
	listAsked   time.Time
	healthAsked time.Time
	notFollowed int       // requests in a row that its tunnel could not send yet
	askAgain    time.Time // when the next is tried then
	requests    int       // commands sent in this claim, for request ids

	written   *corev1.Node // the Node as this process wrote it last, or as the cache has it since
	touched   time.Time    // when its status was last written
	takenOver *tunnel.Heartbeat
}

func newBase(id tunnel.BaseID, node string, beat tunnel.Heartbeat, installed map[tunnel.ModuleKey]bool) *base {
	if installed == nil {
		installed = map[tunnel.ModuleKey]bool{}
	}
	return &base{id: id, node: node, first: beat, served: served{
		beat: beat, adopted: time.Now(), installed: installed, noted: maps.Clone(installed),
		attempts: map[string]plan.Attempt{}, failures: map[tunnel.ModuleKey]plan.Failure{},
		unwanted: map[tunnel.ModuleKey]time.Time{},
	}}
}

// absorb takes in what the base said since the last look.
func (b *base) absorb(m mail) {
	if !m.heard.IsZero() {
		b.heardAt, b.heardBy = m.heard, m.heardBy
	}
	if m.answered {
		b.unanswered = time.Time{}
	}
	if m.beat != nil {
		beat := *m.beat
		beat.Restarted = m.restart
		b.absorbBeat(beat)
	}
	if m.features != nil {
		b.features = *m.features
	}
	if m.health != nil {
		b.absorbHealth(*m.health, m.heard)
	}
	for name, r := range m.answers {
		b.absorbAnswer(name, r)
	}
	if m.restart {
		b.absorbRestart(m.heard)
		m.list = nil // it may be of the life before
	}
	if m.list != nil && !m.list.Asked.IsZero() && m.list.Asked.Before(b.listed) {
		m.list = nil // it was on its way for longer than a later one
	}
	if m.list != nil {
		b.modules, b.inert = m.list.Modules, m.list.Partial
		if m.list.Asked.After(b.listed) {
			b.listed = m.list.Asked
		}
	}
}

// absorbBeat follows the base's description of itself. Another name or cluster is
// another application at the same address, which is not served as if it were the
// one before.
func (b *base) absorbBeat(h tunnel.Heartbeat) {
	if b.beat.Tunnel != "" && (b.beat.Name != h.Name || b.beat.Cluster != h.Cluster) {
		b.takenOver = &h
		return
	}
	b.takenOver = nil
	b.beat = h
}

// absorbHealth notices a restart by an uptime that fell.
func (b *base) absorbHealth(h tunnel.Health, at time.Time) {
	fell := b.health != nil && h.Uptime > 0 && h.Uptime < b.health.Uptime
	b.health = &h
	if h.Uptime <= 0 {
		return
	}
	if fell {
		b.absorbRestart(at)
	}
	b.started = at.Add(-h.Uptime)
}

func (b *base) absorbAnswer(name string, r tunnel.Report) {
	a, ok := b.attempts[name]
	if !ok || a.Answer != nil || a.Verb != r.Answer.Verb || a.Module != r.Answer.Module || r.Received.Before(a.Sent) {
		return // an answer to nobody, or a late one
	}
	if r.Answer.RequestID != "" && r.Answer.RequestID != a.RequestID {
		return
	}
	a.Answer, a.Answered = r.Answer, r.Received
	b.attempts[name] = a
}

// absorbRestart forgets what the base's last life knew.
func (b *base) absorbRestart(at time.Time) {
	b.started, b.modules, b.listed, b.health = at, nil, time.Time{}, nil
	b.listAsked, b.healthAsked = time.Time{}, time.Time{}
	for name, a := range b.attempts {
		a.Restarted = true
		b.attempts[name] = a
	}
}

// underWay is how many commands have been sent that the base has not answered.
func (b *base) underWay() int {
	n := 0
	for _, a := range b.attempts {
		if a.Answer == nil && !a.Restarted {
			n++
		}
	}
	return n
}

// noteAfter is how long what was installed may stay unwritten on the Node. Until
// then the pods that asked for it tell.
const noteAfter = 5 * time.Second

// noteInstalled decides what the Node tells of the modules that this controller
// installed, and gives when that changes; the zero time means not by itself. Changes
// are gathered, for the write is in nobody's way then; a base that leaves is told
// of at once.
func (b *base) noteInstalled(now time.Time, leaving bool) time.Time {
	switch {
	case maps.Equal(b.noted, b.installed):
		b.noteDue = time.Time{}
	case b.noteDue.IsZero() && !leaving:
		b.noteDue = now.Add(noteAfter)
	case leaving || !now.Before(b.noteDue):
		b.noted, b.noteDue = maps.Clone(b.installed), time.Time{}
	}
	return b.noteDue
}

// withInstalled is what will have been brought to the base once these commands
// are sent.
func (b *base) withInstalled(commands []plan.Planned) map[tunnel.ModuleKey]bool {
	installed := maps.Clone(b.installed)
	for _, c := range commands {
		if c.Verb == tunnel.InstallModule {
			installed[c.Module] = true
		}
	}
	return installed
}
