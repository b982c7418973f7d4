package probes

import (
	"context"
	"time"
)

// work makes a probe and takes in what it found.
func (p *Prober) work(ctx context.Context, t *task) {
	ask, ok := p.begin(t)
	if !ok {
		return
	}
	began := time.Now()
	found := p.make.probe(ctx, ask)
	if ctx.Err() != nil { // it was cut off
		found = finding{}
	}
	found.text = t.quoted.of(ask.pods, found.text, time.Now())
	is := p.end(t, ask, found, began)
	if is.counts {
		p.deps.Meter.Probed(ask.kind.String(), found.outcome.String())
	}
	if is.told {
		tell(p.deps.Recorder, ask.pod, ask.container.Name, is.reason, is.text)
	}
	if is.changed {
		p.hooks.Wake(t.node)
	}
}

// begin gives what is to be asked; false where nothing is any more, or not now.
func (p *Prober) begin(t *task) (question, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case t.gone, !t.wants(t.kind):
		p.land(t)
		return question{}, false
	case t.base.paused:
		c := t.checks[t.kind]
		c.due = time.Now().Add(c.period)
		p.land(t)
		return question{}, false
	}
	return question{
		kind: t.kind, pod: t.pod, container: t.container, probe: t.probes[t.kind],
		timeout: t.checks[t.kind].timeout, ip: t.base.ip, pods: t.base.pods,
	}, true
}

// effect is what follows from what a probe found.
type effect struct {
	counts  bool // it was about what is there
	changed bool
	told    bool // an Event is to be recorded, with what follows
	reason  string
	text    string
}

// end takes in what a probe found. Nothing follows where its module is gone, or was asked
// at an address that is its base's no more.
func (p *Prober) end(t *task, asked question, found finding, began time.Time) effect {
	p.mu.Lock()
	defer p.mu.Unlock()
	defer p.land(t)
	now := time.Now()
	switch {
	case t.gone:
		return effect{}
	case t.base.paused, t.base.ip != asked.ip:
		found = finding{}
	}
	reason, text := says(t.kind, found)
	is := effect{counts: true, reason: reason, text: text}
	is.changed = t.took(t.kind, found.outcome, text, began, now)
	if t.told.news(text, now) {
		is.told = t.base.events.AllowN(now, 1) && p.events.AllowN(now, 1)
	}
	return is
}

// land ends a task's flight and has it made again when it is due. The caller holds mu.
func (p *Prober) land(t *task) {
	p.queue.landed(t)
	if !t.gone {
		p.schedule(t.subject)
	}
	p.look() // for what was parked
}
