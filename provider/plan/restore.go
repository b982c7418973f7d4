package plan

import (
	"cmp"
	"slices"

	"module-controller/tunnel"
)

// A pod that took over may fail after all: that a version starts beside another does not
// prove that it does in its place. Then the whole pod gives back what it took, all names
// together, to an older pod that is whole with them, and takes over whole when it is tried
// again.

// backsOff says whether an install for a want must wait after a failure.
func (p *planner) backsOff(w *want) bool {
	f := p.failureOf(w)
	switch {
	case f.Killed:
		return false
	case !f.wrong():
	case p.in.Seen.Started.After(f.At), w.pod.CreationTimestamp.After(f.At):
		return false // another base, as it were, or somebody asked anew
	}
	return p.out.tooEarly(f.NotBefore)
}

// fails says of a want that its module does not serve, and is not tried now because it
// failed.
func (p *planner) fails(w *want) bool { return p.list.of(w.key) != serving && p.backsOff(w) }

// yields says of a pod that it gives back what it took: a module of it fails that is to
// serve.
func (p *planner) yields(pp *podPlan) bool {
	return slices.ContainsFunc(pp.wants, func(w *want) bool { return w.role == chosen && p.fails(w) })
}

// whole says of a superseded want that all modules of its pod served before, and serve once
// it is given back.
func (p *planner) whole(w *want) bool {
	return len(w.of.wants) == len(w.of.asked.modules) &&
		!slices.ContainsFunc(w.of.wants, func(o *want) bool { return !o.ran() || o != w && !p.regains(o) })
}

// regains says whether a want serves, or is given back too.
func (p *planner) regains(w *want) bool {
	n := p.demand.name(w.key.Name)
	switch w.role {
	case chosen:
		return !p.fails(w)
	case superseded:
		return p.yields(n.chosen.of) && p.mayHaveBack(n, w)
	case duplicate, contested:
	}
	return false
}

// mayHaveBack says of a want whether it may have its name back. One that failed may not, nor
// may one of the chosen version unless its jar is what serves: they would take turns.
func (p *planner) mayHaveBack(n *name, w *want) bool {
	switch {
	case w.role != superseded, w.kept && !p.stageOf(w).outlasts(), p.backsOff(w):
		return false
	case n.has(w.key):
		return !p.fails(n.chosen) && sourceOf(w.url) == cmp.Or(n.chosen.running, w.running)
	}
	return true
}

// heirs are the wants of a name that may have it back, the newest first.
func (p *planner) heirs(n *name) []*want {
	tried := map[tunnel.ModuleKey]bool{}
	var heirs []*want
	for _, w := range slices.Backward(n.wants) {
		if !tried[w.key] && p.mayHaveBack(n, w) {
			heirs = append(heirs, w)
		}
		// an older one of the same version must not take turns with it
		tried[w.key] = tried[w.key] || w.role == superseded
	}
	return heirs
}

// fallBack gives a superseded pod its module back where nothing of the name serves, while
// the chosen one backs off: the newest that is whole with it, else the newest.
func (i installer) fallBack(n *name) {
	heirs := i.heirs(n)
	if len(heirs) == 0 || i.list.serves(n.name) {
		return
	}
	heir := heirs[0]
	if at := slices.IndexFunc(heirs, i.whole); at >= 0 {
		heir = heirs[at]
	}
	i.restore(n, heir, n.chosen.key.String()+" failed to replace it")
}

// giveBack gives the newest superseded pod that is whole with it its module back, while
// another module of the chosen pod backs off: last of all, when what failed serves for that
// pod. One that serves whole is left alone.
func (i installer) giveBack(n *name) {
	heirs := i.heirs(n)
	at := slices.IndexFunc(heirs, i.whole)
	switch {
	case at < 0, slices.ContainsFunc(n.wants, i.stands), i.servesFor(heirs[at]), i.awaits(heirs[at]):
		i.advance(n, n.chosen)
	default:
		i.restore(n, heirs[at], "another module of pod "+n.chosen.pod.Name+" failed")
	}
}

// awaits says of a want's pod that another module of it does not serve yet, in the place of
// one that failed.
func (p *planner) awaits(w *want) bool {
	return slices.ContainsFunc(w.of.wants, func(o *want) bool {
		return o != w && o.role == superseded && p.fails(p.demand.name(o.key.Name).chosen) && !p.servesFor(o)
	})
}

// stands says of a superseded want whether all modules of its pod serve, and for it.
func (p *planner) stands(w *want) bool {
	return w.role == superseded && !slices.ContainsFunc(w.of.wants, func(o *want) bool { return !p.servesFor(o) })
}

// restore plans the next step towards giving a want its place back. Its event is told
// once, with the command that makes it serve.
func (i installer) restore(n *name, w *want, why string) {
	w.restored = true
	before := len(i.out.Commands)
	if i.list.of(w.key) == serving {
		i.replace(n, w) // it serves for another pod
	} else {
		i.advance(n, w)
	}
	for _, c := range i.out.Commands[before:] {
		if c.Module == w.key && (c.Replace || c.Verb == tunnel.SwitchModule || !i.list.serves(n.name)) {
			i.out.event(w.pod.UID, false, "ModuleRestored", "restored "+w.key.String()+": "+why)
		}
	}
}

// handOn notes of modules that were found in this run to be installed anew for a pod that
// they are no other pod's any more.
func (p *planner) handOn() {
	for key, a := range p.installed {
		wants := p.demand.name(key.Name).wants
		if !slices.ContainsFunc(wants, func(w *want) bool { return w.key == key && w.pod.UID == a.Pod }) {
			continue
		}
		for _, w := range wants {
			if w.key == key && w.pod.UID != a.Pod {
				w.handOn()
			}
		}
	}
}

// handOn: what serves is another pod's now, and is to be installed anew for this one.
func (w *want) handOn() { w.running, w.handedOn, w.fresh = "", true, w.role == chosen }
