package plan

import (
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// installer plans the next command for each module name, if one is due.
type installer struct{ *planner }

func (i installer) installAll() {
	for _, n := range i.demand.sorted() {
		if n.work == idle {
			i.next(n)
		}
	}
}

// next plans the next command for a name. What terminating pods leave goes first: it
// may stand in the way. A switch goes before it, so that one version serves at each moment.
func (i installer) next(n *name) {
	switch w := n.chosen; {
	case i.switches(n, w):
		i.activate(n, w)
	case i.removeReleased(n), w == nil:
	case i.fails(w):
		i.fallBack(n)
	case i.yields(w.of):
		i.giveBack(n)
	default:
		i.advance(n, w)
	}
}

// switches says whether a name's chosen want is switched to before what terminating pods
// leave is uninstalled. After a command that was not answered in time it is not: the end of
// a pod waits for no switch that may never be done.
func (i installer) switches(n *name, w *want) bool {
	_, lapsed := i.out.Memory.Attempts[n.name]
	switch {
	case w == nil, lapsed, i.yields(w.of):
		return false
	}
	return i.pending(n, w) == wantToSwitch
}

// removeReleased uninstalls a version that only terminating pods asked for.
func (i installer) removeReleased(n *name) bool {
	for _, key := range i.list.byName[n.name] {
		switch {
		case i.demand.of(key) != released:
			continue
		case i.hung(key):
			i.uninstall(n, key)
			if n.work == idle { // that was refused just now, which keeps no other version back
				continue
			}
		case i.list.of(key) == starting: // whoever served the base before asked for it; the base would be busy
			i.out.Ask = true
		default:
			i.uninstall(n, key)
		}
		return true
	}
	return i.askFor(n)
}

// askFor asks what became of an install that nobody waits for any more, and that may still
// be under way: by an uninstall, which the base refuses while it is.
func (i installer) askFor(n *name) bool {
	a, lapsed := i.out.Memory.Attempts[n.name]
	switch {
	case !lapsed, i.list.of(a.Module).listed(), i.demand.of(a.Module) != released:
		return false
	}
	i.uninstall(n, a.Module)
	return true
}

// advance plans the next step towards a want's module serving. A want that backs off
// comes here only while its module serves.
func (i installer) advance(n *name, w *want) {
	is := i.pending(n, w)
	if step := steps[is]; step != nil && (!w.kept || is.outlasts()) {
		step(i, n, w)
	}
}

// steps has what is done about a want in each state; nil for nothing.
var steps = [wantStates]func(installer, *name, *want){
	wantUnknown:   installer.await, // a command now would be refused, or do it twice
	wantStarting:  installer.await,
	wantAbsent:    installer.bring,
	wantServing:   installer.keep,
	wantDead:      installer.restart,
	wantOutdated:  installer.renew,
	wantToSwitch:  installer.activate,
	wantToReplace: installer.replace,
	wantBroken:    installer.repair,
}

func (i installer) await(*name, *want) { i.out.Ask = true }

func (i installer) keep(_ *name, w *want) {
	if !i.failures[w.key].recent(i.in.Now) {
		i.turnTo(w.key, w.purpose())
		i.failures.serves(w.key)
	}
}

// bring installs what is not there: beside the other versions, unless the pod asks for
// their place at once.
func (i installer) bring(n *name, w *want) {
	i.install(n, w, w.atOnce() && len(i.list.byName[n.name]) > 0)
}

// renew replaces a version that was installed from elsewhere.
func (i installer) renew(n *name, w *want) {
	if !i.backsOff(w) {
		i.replace(n, w)
	}
}

// activate makes a version serve that is there and does not.
func (i installer) activate(n *name, w *want) {
	i.command(n, Planned{Command: tunnel.Command{Verb: tunnel.SwitchModule, Module: w.key}, Pod: w.pod.UID})
}

func (i installer) replace(n *name, w *want) {
	if i.out.Memory.Plain {
		i.makeRoom(n, w)
		return
	}
	i.install(n, w, true)
}

// repair installs what did not start once more. It must not take the place of another
// version that may serve.
func (i installer) repair(n *name, w *want) {
	switch {
	case i.out.Memory.Plain, len(i.list.byName[n.name]) > 1:
		i.uninstall(n, w.key)
	default:
		i.install(n, w, true)
	}
}

// makeRoom uninstalls what stands in the way on a base that replaces nothing: the
// other versions first, then this one.
func (i installer) makeRoom(n *name, w *want) {
	for _, key := range i.list.byName[n.name] {
		if key != w.key {
			i.uninstall(n, key)
			return
		}
	}
	i.uninstall(n, w.key)
}

func (i installer) install(n *name, w *want, replace bool) {
	c := i.installOf(w, replace)
	if i.outOfDate(w) {
		n.raise(commanded)
		i.out.announce(c)
		i.out.Stale = append(i.out.Stale, w.pod.UID)
		return
	}
	i.command(n, Planned{Command: c, Pod: w.pod.UID})
}

// freshFor is how long an environment that was resolved is of now, for a module that has not
// run with it.
const freshFor = 30 * time.Second

// outOfDate says of a want that its environment is to be resolved anew before it is
// installed: it was resolved long ago, or its module has run with it.
func (i installer) outOfDate(w *want) bool {
	at := w.pod.Resolved
	switch {
	case at.IsZero():
		return false
	case i.past(at.Add(freshFor)):
		return true
	}
	return !lastStart(statusOf(w.pod.Pod, w.container)).Before(at.Truncate(time.Second)) // starts are told in whole seconds
}

// lastStart is when a container's module began to serve last, as it shows; zero for never.
func lastStart(s *corev1.ContainerStatus) time.Time {
	switch {
	case s == nil:
	case s.State.Running != nil:
		return s.State.Running.StartedAt.Time
	case s.LastTerminationState.Terminated != nil:
		return s.LastTerminationState.Terminated.StartedAt.Time
	}
	return time.Time{}
}

func (i installer) installOf(w *want, replace bool) tunnel.Command {
	c := tunnel.Command{Verb: tunnel.InstallModule, Module: w.key, URL: w.url, Replace: replace}
	if i.in.Seen.Features.Settings {
		c.Args, c.Env = w.args, w.env
	}
	return c
}

// uninstall plans the end of a listed version, unless that failed just now.
func (p *planner) uninstall(n *name, key tunnel.ModuleKey) {
	if p.out.tooEarly(p.failures.of(key, Purpose{Verb: tunnel.UninstallModule}).NotBefore) {
		return
	}
	p.command(n, Planned{Command: tunnel.Command{Verb: tunnel.UninstallModule, Module: key}, Pod: p.demand.releasedBy[key]})
}
