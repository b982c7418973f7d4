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
	return slices.Contains([]string{ReasonCreating, ReasonInstalling,
		ReasonInstallFailed, ReasonInstallBackOff, ReasonVersionMismatch, ReasonConfigError}, w.reason)
}

// observation is what a container shows: that it runs, or why it waits.
type observation struct {
	key     tunnel.ModuleKey
	running bool
	waiting           // where it does not run
	since   time.Time // when the base says that it began to serve; may be zero
	imageID string    // where the module was installed from; empty keeps what is known
}

// observe says what a container of a live pod shows.
func (r reporter) observe(pod Pod, c corev1.Container) observation {
	is := observation{key: keyOf(c)}
	why, unfit := r.demand.unfit[pod.UID]
	switch { // what users can fix comes first, and is shown whatever the base does
	case unfit:
		return r.observeUnfit(is, why)
	case r.standing == conflicted:
		return is.wait(ReasonBaseConflict, "%s", r.in.Conflict)
	case r.standing != ready:
		return is.wait(ReasonCreating, "the base's module list is not known yet")
	}
	n := r.demand.name(is.key.Name)
	for _, w := range n.wants {
		if w.pod.UID == pod.UID {
			is = r.observeWant(is, n, w)
			is.imageID = r.imageOf(w, is.running)
			return is
		}
	}
	return is.wait(ReasonCreating, "")
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
// owner that has not yet proved who the base is.
func (r reporter) observeUnfit(is observation, why waiting) observation {
	kept := r.standing == ready && why.reason != ReasonInvalid
	if kept && r.list.of(is.key) == serving {
		return r.running(is)
	}
	is.waiting = why
	return is
}

func (r reporter) observeWant(is observation, n *name, w *want) observation {
	switch w.role {
	case duplicate:
		return is.wait(ReasonDuplicate, "pod %s has %s on this base: spread the pods over bases, or delete one", n.oldest(w.key).pod.Name, w.key)
	case superseded:
		return r.observeSuperseded(is, n, w)
	case chosen:
	}
	doing := r.out.doing(w.key)
	switch on := r.list.of(w.key); {
	case doing.Replace: // the list may still show the version that is being replaced
		return r.installing(is, w)
	case on == serving:
		return r.running(is)
	case on == starting, doing.Verb != "":
		return r.installing(is, w)
	}
	return r.backingOff(is, w)
}

// observeSuperseded keeps a version running that serves until the chosen one does.
func (r reporter) observeSuperseded(is observation, n *name, w *want) observation {
	handedOn := n.has(w.key) && cmp.Or(n.chosen.running, r.installed[w.key]) != ""
	switch {
	case handedOn: // the same version serves, but for the younger pod
	case r.list.of(w.key) == serving:
		return r.running(is)
	case r.out.doing(w.key).Verb != "":
		return r.installing(is, w)
	}
	return is.wait(ReasonSuperseded, "newer pod %s has %s on this base", n.chosen.pod.Name, n.chosen.key)
}

func (r reporter) installing(is observation, w *want) observation {
	if f := r.failures.of(w.key, w.url); f.Count > 0 {
		return is.wait(ReasonInstalling, "installing again after: %s", f.Message)
	}
	return is.wait(ReasonInstalling, "%s from %s", w.key, redact(w.url))
}

// backingOff explains why a module does not serve and nothing is being done.
func (r reporter) backingOff(is observation, w *want) observation {
	if f := r.failures.of(w.key, w.url); f.Count > 0 {
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
	case f.Wrong:
		return is.wait(ReasonVersionMismatch, "%s", f.Message)
	case f.Count == 1:
		return is.waitAgain(ReasonInstallFailed, f.Message, fmt.Sprintf(" (next try after %s)", pause))
	}
	return is.waitAgain(ReasonInstallBackOff, f.Message, fmt.Sprintf(" (%d attempts failed, back-off %s)", f.Count, pause))
}

// imageOf is where a want's module was installed from, as far as that is known.
func (r reporter) imageOf(w *want, running bool) string {
	switch {
	case r.installed[w.key] == w.url:
		return w.url
	case w.running != "":
		return w.running
	case running:
		return cmp.Or(r.demand.sources[w.key], w.url)
	}
	return ""
}
