package plan

import (
	"cmp"
	"slices"

	"module-controller/tunnel"
)

// wantState is how far a want is. The package comment tells what each means, and what
// follows from it.
type wantState int

const (
	wantUnknown wantState = iota
	wantAbsent
	wantStarting
	wantHung
	wantServing
	wantOutdated
	wantDead
	wantToSwitch
	wantToReplace
	wantBroken
	wantWaiting
	wantBlocked
	wantInstalling
	wantReplacing
	wantDuplicate
	wantConflicting
	wantSuperseded
)

// wantStates is how many there are.
const wantStates = int(wantSuperseded) + 1

func (s wantState) String() string {
	return [wantStates]string{"Unknown", "Absent", "Starting", "Hung", "Serving", "Outdated", "Dead", "ToSwitch", "ToReplace", "Broken", "Waiting", "Blocked",
		"Installing", "Replacing", "Duplicate", "Conflicting", "Superseded"}[s]
}

// outlasts says of a want in this state that it goes on, or may, without an install.
func (s wantState) outlasts() bool {
	return slices.Contains([]wantState{wantUnknown, wantStarting, wantServing, wantToSwitch}, s)
}

// stateOf is the state of a want by its rank among those of its name, by what is being
// done for it, and by what the base has.
func (p *planner) stateOf(w *want) wantState {
	switch w.role {
	case duplicate:
		return wantDuplicate
	case contested:
		return wantConflicting
	case superseded:
		return wantSuperseded
	case chosen:
	}
	switch { // the list may still show what is being replaced
	case ends(p.out.under(w.key.Name), w.key), w.running == "" && switchesFrom(p.out.under(w.key.Name), w.key):
		return wantReplacing
	case p.hung(w.key):
		return wantHung
	case p.out.doing(w.key).Verb != "" && p.list.of(w.key) != serving:
		return wantInstalling
	}
	return p.pending(p.demand.name(w.key.Name), w)
}

// pending is the state of a want that is to serve, while nothing is being done for it.
func (p *planner) pending(n *name, w *want) wantState {
	is := p.stageOf(w)
	switch is {
	case wantServing:
		if w.running != "" || !p.takesOver(n, w, true) || p.mayTake(w) {
			return is
		}
		return wantBlocked // it serves for another pod
	case wantOutdated, wantDead, wantToSwitch, wantToReplace, wantAbsent:
	default:
		return is
	}
	by, waits := p.inTheWay(n, w, is)
	switch {
	case waits && !p.hung(by):
		return wantWaiting
	case w.beside(is), !p.takesOver(n, w, is == wantOutdated), p.mayTake(w):
		return is
	}
	return wantBlocked
}

// stageOf is how far a want's module is on the base, whoever is to serve.
func (p *planner) stageOf(w *want) wantState {
	is := p.list.of(w.key)
	if is.started() && !p.current(w) {
		return wantOutdated
	}
	switch is {
	case absent:
		return wantAbsent
	case unlisted:
		return wantUnknown
	case broken:
		return wantBroken
	case starting:
		return p.inStart(w)
	case serving:
		return p.inService(w)
	case deactivated:
		return p.inactive(w)
	}
	return wantUnknown
}

func (p *planner) inService(w *want) wantState {
	switch {
	case w.kept: // it could not be installed anew
		return wantServing
	case p.installed[w.key].Verb != "": // just now, since it was found dead
	case p.whyDead(w) != "":
		return wantDead
	}
	return wantServing
}

func (p *planner) inStart(w *want) wantState {
	if p.hung(w.key) {
		return wantHung
	}
	return wantStarting
}

// inactive tells how a version comes to serve that is there and does not. One that serves is
// taken away for it only where the base cannot switch, or refused to.
func (p *planner) inactive(w *want) wantState {
	f := p.failures[w.key]
	switch {
	case !p.in.Seen.Features.Switch:
		return wantToReplace
	case f.Verb != tunnel.SwitchModule, f.Unanswered:
		return wantToSwitch
	}
	return wantToReplace
}

// installedFor says whether a want's module was found in this run to be installed for it.
func (p *planner) installedFor(w *want) bool {
	a := p.installed[w.key]
	return a.Pod == w.pod.UID && a.URL == w.url
}

// current says whether the listed version was installed from the URL that is wanted
// now, and need not be installed once more for a later revision. Where nobody knows the
// URL, it is.
func (p *planner) current(w *want) bool {
	switch {
	case w.kept, p.installedFor(w):
		return true
	case w.fresh:
		return false
	}
	from := cmp.Or(sourceOf(p.installed[w.key].URL), w.running, p.demand.sources[w.key])
	return from == "" || from == sourceOf(w.url)
}
