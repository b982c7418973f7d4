package probes

import (
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
)

// kind is one of the three probes that a container may have.
type kind int

// The kinds.
const (
	startup kind = iota
	readiness
	liveness
)

// kinds is how many there are.
const kinds = int(liveness) + 1

// String is the word that kubelets have for it, in Events and metrics.
func (k kind) String() string { return [kinds]string{"Startup", "Readiness", "Liveness"}[k] }

// outcome is what one probe found.
type outcome int

// The outcomes.
const (
	// unknown: the probe could not be made. It says nothing of the module.
	unknown outcome = iota
	// unreachable: nobody answered the connect, neither yes nor no.
	unreachable
	failed
	passed
)

// outcomes is how many there are.
const outcomes = int(passed) + 1

// String is the word that kubelets have for it in metrics.
func (o outcome) String() string {
	return [outcomes]string{"unknown", "failed", "failed", "successful"}[o]
}

// against says what an outcome of a kind of probe counts for. A module is not installed
// anew because the way to its base is broken: it is ours as much as the base's.
func (o outcome) against(k kind) outcome {
	switch {
	case o != unreachable:
		return o
	case k == readiness:
		return failed
	}
	return unknown
}

// timing is when a probe is made and what its results need to count.
type timing struct {
	delay, period, timeout time.Duration
	successes, failures    int // in a row
}

// check is one probe of one module.
type check struct {
	timing
	last outcome
	run  int  // how often in a row it was the last one
	held bool // no more is to be found out until the module is installed anew
	due  time.Time
}

// messagePause is how often a failure that goes on may be told in other words: each change
// is a write of the pod's status.
const messagePause = time.Minute

// module is what is known of a container's module since it began to serve.
type module struct {
	since metav1.Time
	// checks are nil where the container has no such probe that can be made.
	checks [kinds]*check
	// started and ready are what the probes say. started never turns false again.
	started, ready bool
	// dead is why it is to be installed anew; empty while it is not.
	dead string
	// message is the last failure, told at toldAt.
	message string
	toldAt  time.Time
	// leaving: its pod is being deleted. It need not start or live any more.
	leaving bool
}

// seed is what a pod's status says of a module: what was found out before this process
// probed it.
type seed struct {
	since          metav1.Time
	started, ready bool
}

// newModule begins to probe. The first probe of each kind comes after its delay and,
// where spread says so, a part of its period.
func newModule(was seed, timings [kinds]*timing, now time.Time, spread func(time.Duration) time.Duration) *module {
	m := &module{since: was.since}
	for k, t := range timings {
		if t != nil {
			m.checks[k] = &check{timing: *t, due: later(was.since.Add(t.delay), now).Add(spread(t.period))}
		}
	}
	m.believe(was)
	return m
}

// believe takes over what a pod's status says, as far as nothing was found out here. The
// status may become newer after probing began: whoever served the base before wrote it.
func (m *module) believe(was seed) {
	take := func(k kind, is *bool, said bool) {
		switch c := m.checks[k]; {
		case c == nil:
			*is = true
		case c.run == 0:
			*is = said
		}
	}
	take(startup, &m.started, was.started)
	take(readiness, &m.ready, was.ready)
}

// probed is what is told of it.
func (m *module) probed() plan.Probed {
	p := plan.Probed{Since: m.since, Started: m.started, Ready: m.started && m.ready, Dead: m.dead}
	if !p.Ready {
		p.Message = m.message
	}
	if m.leaving {
		p.Dead = ""
	}
	return p
}

// wants says whether a probe is to be made when it is due: the startup probe until the
// module has started, the others from then on.
func (m *module) wants(k kind) bool {
	c := m.checks[k]
	switch {
	case c == nil, c.held, m.leaving && k != readiness:
		return false
	case k == startup:
		return !m.started
	}
	return m.started
}

// took takes in what a probe found that began at the given time. It says whether what is
// told of the module changed.
func (m *module) took(k kind, o outcome, message string, began, now time.Time) (changed bool) {
	was := m.probed()
	c := m.checks[k]
	c.due = later(began.Add(c.period), now)
	c.count(o.against(k))
	switch {
	case c.run == 0, c.run < c.needed():
	case c.last == passed:
		m.passes(k, now)
	default:
		m.fails(k, message)
	}
	m.note(k, o, message, now)
	return m.probed() != was
}

// count counts an outcome. One that says nothing counts for nothing.
func (c *check) count(o outcome) {
	switch o {
	case unknown:
	case c.last:
		c.run++
	default:
		c.last, c.run = o, 1
	}
}

// needed is how often in a row the last outcome must have been there to count.
func (c *check) needed() int {
	if c.last == passed {
		return c.successes
	}
	return c.failures
}

func (m *module) passes(k kind, now time.Time) {
	switch k {
	case startup:
		m.started = true
		for _, c := range m.checks { // which waited for that
			if c != nil {
				c.due = later(m.since.Add(c.delay), now)
			}
		}
	case readiness:
		m.ready = true
	case liveness: // as it was taken to be
	}
}

func (m *module) fails(k kind, message string) {
	if k == readiness {
		m.ready = false
		return
	}
	m.dead, m.checks[k].held = message, true
}

// note keeps why the module is not ready: what was found first, and from then on, now and
// then, what was found last. A probe that cannot be made is a reason too.
func (m *module) note(k kind, o outcome, message string, now time.Time) {
	switch {
	case m.started && m.ready:
		m.message = ""
		return
	case o == passed, k == liveness, message == "":
		return
	}
	if m.message == "" || now.Sub(m.toldAt) >= messagePause {
		m.message, m.toldAt = message, now
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
