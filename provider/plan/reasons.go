package plan

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// waiting is why a container waits.
type waiting struct{ reason, message string }

// reinstalls says whether the module is being installed, or will be.
func (w waiting) reinstalls() bool {
	return slices.Contains([]string{ReasonInstalling, ReasonInstallFailed, ReasonInstallBackOff}, w.reason)
}

// toldElsewhere says of a reason that it needs no event: the first two are the usual way
// of an install, the others had an event when they came up.
func (w waiting) toldElsewhere() bool {
	return slices.Contains([]string{ReasonCreating, ReasonInstalling, ReasonBlocked,
		ReasonInstallFailed, ReasonInstallBackOff, ReasonVersionMismatch, ReasonConfigError}, w.reason)
}

// observation is what a container shows: that it runs, or why it waits.
type observation struct {
	key     tunnel.ModuleKey
	running bool
	waiting           // where it does not run
	since   time.Time // when the base says that it began to serve; may be zero
	imageID string    // where the module was installed from; empty keeps what is known
	// handedOn: the module was installed anew for another pod, so where it was installed
	// from for this one is not to be known any more.
	handedOn bool
}

// observe says what a container of a live pod shows.
func (r reporter) observe(pod Pod, c corev1.Container) observation {
	is := observation{key: keyOf(c)}
	pp := r.demand.plans[pod.UID]
	w := pp.want(c.Name)
	switch { // what users can fix comes first, and is shown whatever the base does
	case pp == nil:
		return is.wait(ReasonCreating, "")
	case pp.unfit != (waiting{}):
		return r.observeUnfit(is, pp.unfit, w)
	case pp.invalid(c.Name) != "":
		return is.wait(ReasonInvalid, "%s", pp.invalid(c.Name))
	case r.standing == conflicted:
		return is.wait(ReasonBaseConflict, "%s", r.in.Conflict)
	case r.standing != ready:
		return is.wait(ReasonCreating, "the base's module list is not known yet")
	}
	if w == nil {
		return is.wait(ReasonCreating, "")
	}
	is.key = w.key
	return r.of(is, w)
}

// of is what the container of a want shows.
func (r reporter) of(is observation, w *want) observation {
	is = shows[r.stateOf(w)](r, is, w)
	is.handedOn = is.handedOn || w.handedOn
	if !is.handedOn {
		is.imageID = r.imageOf(w, is.running)
	}
	return is
}

// shows has what a want in each state shows.
var shows = [wantStates]func(reporter, observation, *want) observation{
	wantUnknown:     reporter.backingOff,
	wantAbsent:      reporter.backingOff,
	wantStarting:    reporter.installing,
	wantHung:        reporter.hangs,
	wantServing:     reporter.serving,
	wantDead:        reporter.serving,
	wantOutdated:    reporter.outdated,
	wantToSwitch:    reporter.backingOff,
	wantToReplace:   reporter.backingOff,
	wantBroken:      reporter.backingOff,
	wantWaiting:     reporter.waits,
	wantBlocked:     reporter.blocked,
	wantInstalling:  reporter.installing,
	wantReplacing:   reporter.installing,
	wantDuplicate:   reporter.duplicate,
	wantConflicting: reporter.conflicting,
	wantSuperseded:  reporter.superseded,
}

func (is observation) wait(reason, format string, args ...any) observation {
	is.waiting = waiting{reason, clip(fmt.Sprintf(format, args...))}
	return is
}

// waitAgain tells a cause and, whatever its length, when it is tried again.
func (is observation) waitAgain(reason, cause, again string) observation {
	is.waiting = waiting{reason, tunnel.Clean(cause, tunnel.MaxText-len(again)) + again}
	return is
}

func (r reporter) running(is observation) observation {
	is.running, is.since = true, r.list.byKey[is.key].Since
	return is
}

// observeUnfit keeps a module running that ran before its pod could no longer be
// installed: a Secret that was deleted since changes nothing on the base, nor does a new
// owner that has not yet proved who the base is. Like any other it may be superseded.
func (r reporter) observeUnfit(is observation, why waiting, w *want) observation {
	switch {
	case w == nil, r.standing != ready, why.reason == ReasonInvalid, r.list.of(w.key) != serving:
		is.waiting = why
		return is
	}
	is.key = w.key
	return r.of(is, w)
}

func (r reporter) serving(is observation, _ *want) observation { return r.running(is) }

// outdated serves on until it is replaced.
func (r reporter) outdated(is observation, w *want) observation {
	failed := r.failureOf(w).Count > 0
	switch {
	case r.servesFor(w):
		return r.running(is)
	case failed, r.list.of(w.key) != serving:
		return r.backingOff(is, w)
	}
	return r.installing(is, w)
}

// servesFor says whether what serves did so for that pod already.
func (p *planner) servesFor(w *want) bool { return p.list.of(w.key) == serving && w.running != "" }

// blocked serves on, where it does, until its pod can take over.
func (r reporter) blocked(is observation, w *want) observation {
	if r.servesFor(w) {
		return r.running(is)
	}
	return is.wait(ReasonBlocked, "%s takes the place of an older pod's version once all modules of its pod can: %s", w.key, r.lacks(w))
}

func (r reporter) duplicate(is observation, w *want) observation {
	return is.wait(ReasonDuplicate, "pod %s has %s on this base: spread the pods over bases, or delete one", r.demand.name(w.key.Name).chosen.pod.Name, w.key)
}

// conflicting keeps a version running that ran for it, as long as it serves.
func (r reporter) conflicting(is observation, w *want) observation {
	has := r.demand.name(w.key.Name).chosen
	switch {
	case ends(r.out.under(w.key.Name), w.key):
	case r.list.of(w.key) == serving && w.tenure(r.list) == holding:
		return r.running(is)
	}
	return is.wait(ReasonConflict, "pod %s of another workload has %s on this base: pod %s with %s waits until that is gone; spread the workloads over bases",
		has.pod.Name, has.key, w.pod.Name, w.key)
}

// took says of a want that its module was installed for it.
func (r reporter) took(w *want) bool { return w.running != "" || r.installedFor(w) }

// superseded keeps a version running that was installed for it, until the chosen one serves.
func (r reporter) superseded(is observation, w *want) observation {
	n := r.demand.name(w.key.Name)
	is.handedOn = n.has(w.key) && (r.took(n.chosen) || r.stateOf(n.chosen) == wantServing)
	switch {
	case is.handedOn: // the same version serves, but for the other pod
	case ends(r.out.under(w.key.Name), w.key): // it is told before it is done
	case r.list.of(w.key) == serving && r.took(w):
		return r.running(is)
	case r.out.doing(w.key).Verb != "":
		return r.installing(is, w)
	}
	return is.wait(ReasonSuperseded, "pod %s has %s on this base", n.chosen.pod.Name, n.chosen.key)
}

// waits tells what a want waits for.
func (r reporter) waits(is observation, w *want) observation {
	by, _ := r.inTheWay(r.demand.name(w.key.Name), w, r.stageOf(w))
	if why := r.whyThere(by); why != "" {
		return is.wait(ReasonInstalling, "%s waits: %s", w.key, why)
	}
	return is.wait(ReasonInstalling, "%s waits until %s of a terminating pod is uninstalled", w.key, by)
}

func (r reporter) hangs(is observation, w *want) observation {
	return is.wait(ReasonHung, "%s", r.whyHung(w.key))
}

func (r reporter) installing(is observation, w *want) observation {
	if by, waits := r.inTheWay(r.demand.name(w.key.Name), w, r.stageOf(w)); waits && r.hung(by) {
		return r.waits(is, w)
	}
	if took := r.takes(w.key); took >= slowAfter {
		return is.wait(ReasonInstalling, "installing %s for %s", w.key, roughly(took))
	}
	if f := r.failureOf(w); f.Count > 0 {
		return is.wait(ReasonInstalling, "installing again after: %s", f.Message)
	}
	return is.wait(ReasonInstalling, "%s from %s", w.key, redact(w.url))
}

// takes is how long the install of a module takes already.
func (r reporter) takes(key tunnel.ModuleKey) time.Duration {
	switch a := r.out.Memory.Attempts[key.Name]; {
	case a.installs(key):
		return r.in.Now.Sub(a.begun())
	case r.list.of(key) == starting:
		return r.in.Now.Sub(r.out.Memory.Starts[key])
	}
	return 0
}

// backingOff explains why a module does not serve and nothing is being done.
func (r reporter) backingOff(is observation, w *want) observation {
	if f := r.failureOf(w); f.Count > 0 {
		return is.failed(f)
	}
	m, there := r.list.byKey[w.key]
	if !there {
		return is.wait(ReasonInstalling, "%s from %s", w.key, redact(w.url))
	}
	if f := r.failures[w.key]; f.Count > 0 { // of another URL, or of another command
		return is.wait(ReasonDeactivated, "%s is %s: %s", w.key, m.State, f.Message)
	}
	return is.wait(ReasonDeactivated, "%s is installed, but %s. %s", w.key, m.State, r.quote(m.Message))
}

// failed explains a failed install.
func (is observation) failed(f Failure) observation {
	pause := f.NotBefore.Sub(f.At)
	switch {
	case f.wrong():
		return is.wait(ReasonVersionMismatch, "%s", f.Message)
	case f.Count == 1:
		return is.waitAgain(ReasonInstallFailed, f.Message, fmt.Sprintf(" (next try after %s)", pause))
	}
	return is.waitAgain(ReasonInstallBackOff, f.Message, fmt.Sprintf(" (%d attempts failed, back-off %s)", f.Count, pause))
}

// imageOf is where a want's module was installed from, as far as that is known.
func (r reporter) imageOf(w *want, running bool) string {
	switch {
	case r.installedFor(w):
		return w.url
	case w.running != "":
		return w.running
	case running:
		return cmp.Or(r.installed[w.key].URL, r.demand.sources[w.key], w.url)
	}
	return ""
}
