package plan

import (
	"fmt"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// shown is what one container should show.
type shown struct {
	waiting
	running bool
	since   time.Time // when the base says that it began to serve; may be zero
	imageID string    // where the module was installed from; empty keeps what is known
}

// show says what a pod should show.
func (p *planner) show(pod Pod) {
	s := PodStatus{Pod: pod, Status: pod.Status}
	switch {
	case pod.Terminating():
		if s.Finished = p.finished(pod); s.Finished && !pod.Gone {
			s.Status = finishedStatus(pod, p.Now)
		}
	case p.unsynced(pod), terminal(pod):
	case !p.acts() && len(pod.Status.ContainerStatuses) > 0 && (p.Conflict == "" || podRuns(pod)):
	default:
		containers := make([]shown, 0, len(pod.Spec.Containers))
		for _, c := range pod.Spec.Containers {
			containers = append(containers, p.showContainer(pod, c))
		}
		s.Status = p.status(pod, containers)
	}
	p.out.Statuses = append(p.out.Statuses, s)
}

// unsynced says whether a module of a live pod waits for a pod that is not yet synced.
func (p *planner) unsynced(pod Pod) bool {
	return slices.ContainsFunc(pod.Spec.Containers, func(c corev1.Container) bool {
		n := p.names[c.Name]
		return n != nil && n.unsynced
	})
}

func podRuns(pod Pod) bool {
	return slices.ContainsFunc(pod.Status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.State.Running != nil })
}

// finished says whether all modules of a terminating pod are gone from the base, or are
// now somebody else's.
func (p *planner) finished(pod Pod) bool {
	if !p.acts() {
		return false
	}
	for _, key := range Wanted(pod.Pod) {
		a, underWay := p.out.Memory.Attempts[key.Name]
		if underWay && a.Module == key {
			return false
		}
		if _, there := p.listed[key]; (there || p.Seen.Partial) && !p.keep[key] {
			return false
		}
	}
	return true
}

func (p *planner) showContainer(pod Pod, c corev1.Container) shown {
	if why, unfit := p.unfit[pod.UID]; unfit {
		return p.showUnfit(c, why)
	}
	if p.Conflict != "" {
		return wait(ReasonBaseConflict, "%s", p.Conflict)
	}
	if !p.acts() {
		return wait(ReasonCreating, "the base's module list is not known yet")
	}
	n := p.names[c.Name]
	for _, w := range n.wants {
		if w.pod.UID == pod.UID {
			s := p.showWant(n, w)
			s.imageID = p.imageOf(w, s)
			return s
		}
	}
	return wait(ReasonCreating, "")
}

// showUnfit keeps a module running that ran before its pod could no longer be
// installed: a Secret that was deleted since changes nothing on the base.
func (p *planner) showUnfit(c corev1.Container, why waiting) shown {
	key := tunnel.ModuleKey{Name: c.Name, Version: versionOf(c)}
	if m, there := p.listed[key]; there && m.State == tunnel.Activated && p.acts() && why.reason == ReasonConfigError {
		return shown{running: true, since: m.Since}
	}
	return shown{waiting: why}
}

func wait(reason, format string, args ...any) shown {
	return shown{waiting: waiting{reason, clip(fmt.Sprintf(format, args...))}}
}

// waitAgain tells a cause and, whatever its length, when it is tried again.
func waitAgain(reason, cause, again string) shown {
	return shown{waiting: waiting{reason, clipTo(cause, tunnel.MaxText-len(again)) + again}}
}

func (p *planner) showWant(n *name, w *want) shown {
	m := p.listed[w.key]
	serving := shown{running: true, since: m.Since}
	active := m.State == tunnel.Activated
	switch {
	case w.duplicate:
		return wait(ReasonDuplicate, "pod %s has %s on this base: spread the pods over bases, or delete one", holder(n, w), w.key)
	case w.superseded && w.key == n.target.key && (n.target.running != "" || p.brought[w.key] != ""):
		return p.superseded(n)
	case p.replacing(n, w):
		return p.installing(w)
	case active:
		return serving
	case w.superseded && !p.acting(n, w):
		return p.superseded(n)
	case p.acting(n, w) || starting(m):
		return p.installing(w)
	}
	return p.showFailure(w, m)
}

func (p *planner) superseded(n *name) shown {
	return wait(ReasonSuperseded, "newer pod %s has %s on this base", n.target.pod.Name, n.target.key)
}

// holder names the pod that has the module which a duplicate waits for.
func holder(n *name, w *want) string {
	for _, o := range n.wants {
		if o.key == w.key && !o.duplicate {
			return o.pod.Name
		}
	}
	return ""
}

// acting says whether a command for a want's version is planned or under way.
func (p *planner) acting(n *name, w *want) bool {
	if a, ok := p.out.Memory.Attempts[n.name]; ok && a.Module == w.key {
		return true
	}
	return slices.ContainsFunc(p.out.Commands, func(c Planned) bool { return c.Module == w.key })
}

// replacing says whether a version that the list may still show serving is being
// installed anew for this want.
func (p *planner) replacing(n *name, w *want) bool {
	if w != n.target {
		return false
	}
	if a, ok := p.out.Memory.Attempts[n.name]; ok && a.Module == w.key && a.Verb == tunnel.InstallModule && a.Replace {
		return true
	}
	return slices.ContainsFunc(p.out.Commands, func(c Planned) bool {
		return c.Module == w.key && c.Verb == tunnel.InstallModule && c.Replace
	})
}

func (p *planner) installing(w *want) shown {
	if f, failed := p.out.Memory.Failures[w.key]; failed && f.URL == w.url && f.Count > 0 {
		return wait(ReasonInstalling, "installing again after: %s", f.Message)
	}
	return wait(ReasonInstalling, "%s from %s", w.key, redact(w.url))
}

// showFailure explains why a module does not serve and nothing is being done.
func (p *planner) showFailure(w *want, m tunnel.Module) shown {
	f, failed := p.out.Memory.Failures[w.key]
	failed = failed && f.Count > 0
	switch {
	case failed && f.Wrong && f.URL == w.url:
		return wait(ReasonVersionMismatch, "%s", f.Message)
	case failed && f.URL == w.url && f.Count == 1:
		return waitAgain(ReasonInstallFailed, f.Message, fmt.Sprintf(" (next try after %s)", f.NotBefore.Sub(f.At)))
	case failed && f.URL == w.url:
		return waitAgain(ReasonInstallBackOff, f.Message, fmt.Sprintf(" (%d attempts failed, back-off %s)", f.Count, f.NotBefore.Sub(f.At)))
	case m.State == "":
		return wait(ReasonInstalling, "%s from %s", w.key, redact(w.url))
	case failed:
		return wait(ReasonDeactivated, "%s is %s: %s", w.key, m.State, f.Message)
	}
	return wait(ReasonDeactivated, "%s is installed, but %s. %s", w.key, m.State, m.Message)
}

// imageOf is where a want's module was installed from, as far as that is known.
func (p *planner) imageOf(w *want, s shown) string {
	if from := p.brought[w.key]; from != "" && from == w.url {
		return from
	}
	if s.running && w.running == "" {
		if from := p.lastURL(w.key); from != "" {
			return from
		}
		return w.url
	}
	return w.running
}
