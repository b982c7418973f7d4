package plan

import (
	"maps"
	"slices"

	"module-controller/tunnel"
)

// Modules says what the pods of a base should show and which commands to send
// next. It is idempotent: with its own output as what is known, and nothing new
// from the base, it changes nothing.
//
// It works in four phases, each on what the one before found: what became of the
// commands that were sent (resolver), which are due now (installer), what is installed
// and requested by nobody (collector), and what the pods show of all that (reporter).
func Modules(in Input) Output {
	p := newPlanner(in)
	switch p.standing {
	case ready:
		p.adopt()
		p.watchStarts()
		p.buryDead()
		p.watchDuplicates()
		resolver{p}.resolveAll()
		p.handOn()
		installer{p}.installAll()
		p.drop()
		p.forgetJars()
		for _, at := range p.demand.leaves {
			p.out.wake(at)
		}
		(&collector{planner: p}).collect()
		p.out.Inherited = p.inherited()
	case unread:
		p.out.Ask = true
	case conflicted, away: // what is known stays as it is
	}
	reporter{p}.reportAll()
	return p.out.Output
}

// planner is one run of Modules: what is known, and what is made of it.
type planner struct {
	in       Input
	standing standing
	list     *list
	demand   *demand
	// failures is out.Memory.Failures.
	failures failures
	// installed has the installs found in this run to have succeeded.
	installed map[tunnel.ModuleKey]Attempt
	// began has the names of which a module was found in this run to serve now.
	began   map[string]bool
	out     *draft
	secrets []string // see quote; nil until they are looked for
}

func newPlanner(in Input) *planner {
	in.Config = in.Config.Complete()
	l := newList(in.Seen)
	p := &planner{
		in: in, standing: standingOf(in), list: l, demand: newDemand(in, l),
		installed: map[tunnel.ModuleKey]Attempt{}, began: map[string]bool{}, out: &draft{now: in.Now, Output: Output{Memory: in.Memory.clone()}},
	}
	p.failures = p.out.Memory.Failures
	for _, n := range slices.Sorted(maps.Keys(in.Memory.Attempts)) {
		p.demand.name(n)
	}
	return p
}

// standing says how far a base can be worked on.
type standing int

const (
	conflicted standing = iota // two live bases have the identity: pods show it, nothing is sent
	away                       // not to be worked on, or our link is down: nothing is sent
	unread                     // its list was never read
	ready                      // commands may be planned and pods judged
)

func standingOf(in Input) standing {
	switch { // two bases cannot both be meant, however well they are heard
	case in.Conflict != "":
		return conflicted
	case !in.Live:
		return away
	case in.Seen.Listed.IsZero():
		return unread
	case in.NotReady != "": // until the list shows what the base has now
		return away
	}
	return ready
}

// adopt counts as installed by this controller what pods ask for: what is listed, and,
// for as long as a command of whoever served the base before may be in flight, all
// of it. Whatever becomes of the pods then, no module is left behind unmanaged.
func (p *planner) adopt() {
	for key := range p.demand.interests {
		if p.list.of(key).listed() || p.inherits() {
			p.out.Memory.Installed[key] = true
		}
	}
}

// inherits says whether commands of whoever served the base before may be in flight.
func (p *planner) inherits() bool {
	return p.in.Now.Before(p.in.Since.Add(p.in.Config.CommandTimeout))
}

// inherited is how many modules are starting that whoever served the base before asked
// for. One that is starting for longer than an answer takes is not waited for.
func (p *planner) inherited() int {
	n := 0
	if !p.inherits() {
		return n
	}
	for key := range p.list.byKey {
		if _, ours := p.out.Memory.Attempts[key.Name]; !ours && p.list.of(key) == starting {
			n++
		}
	}
	return n
}

// clone gives a copy whose maps are its own, and there.
func (m Memory) clone() Memory {
	return Memory{
		Attempts: cloned(m.Attempts), Failures: cloned(m.Failures), Jars: cloned(m.Jars),
		Installed: cloned(m.Installed), Unmanaged: cloned(m.Unmanaged), Dead: cloned(m.Dead), Duplicates: cloned(m.Duplicates), Rejections: cloned(m.Rejections), Starts: cloned(m.Starts), Plain: m.Plain,
	}
}

func cloned[K comparable, V any](m map[K]V) map[K]V {
	c := make(map[K]V, len(m))
	maps.Copy(c, m)
	return c
}
