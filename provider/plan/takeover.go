package plan

import (
	"fmt"
	"slices"
	"time"

	"module-controller/tunnel"
)

// A command may end the service of a version that a pod shows as running: it takes over.
// Two rules hold for that. A pod takes over whole or not at all, or its predecessor goes
// down for one that cannot start. And the pod whose module is taken away says so first, so
// that no request is sent to what is not there any more.

// switchesFrom says of a command that it makes another version of a module serve.
func switchesFrom(c tunnel.Command, key tunnel.ModuleKey) bool {
	return c.Verb == tunnel.SwitchModule && c.Module != key
}

// ends says whether a command ends the service of a version of its name. A switch is none
// such: the base serves one version or the other at each moment, so a pod that said it first
// would take the base out of its Service for nothing.
func ends(c tunnel.Command, key tunnel.ModuleKey) bool {
	switch {
	case c.Module.Name != key.Name:
		return false
	case c.Verb == tunnel.UninstallModule:
		return c.Module == key
	case c.Verb == tunnel.SwitchModule:
		return false
	}
	return c.Replace
}

// serves says whether a live pod's module serves, for that pod.
func (p *planner) serves(w *want) bool {
	if w.role == duplicate {
		return false
	}
	return p.list.of(w.key) == serving
}

// takesOver says whether making a want serve ends the service of another pod's.
func (p *planner) takesOver(n *name, w *want, anew bool) bool {
	return slices.ContainsFunc(n.wants, func(o *want) bool {
		return o != w && p.serves(o) && (anew || o.key != w.key)
	})
}

// mayTake says whether a want may end the service of another pod's.
func (p *planner) mayTake(w *want) bool { return w.restored || p.lacks(w) == "" }

// lacks says why a pod cannot take over yet, were it for all its modules but this one;
// empty where it can.
func (p *planner) lacks(w *want) string {
	if w.of.unfit != (waiting{}) {
		return "its pod waits: " + w.of.unfit.reason
	}
	for _, m := range w.of.asked.modules {
		if m.invalid != "" {
			return "container " + m.container + " is invalid"
		}
	}
	for _, o := range w.of.wants {
		switch {
		case o == w:
		case o.role != chosen:
			return fmt.Sprintf("another pod has %s", o.key.Name)
		case p.fails(o):
			return fmt.Sprintf("%s failed", o.key)
		case !o.atOnce() && !p.list.of(o.key).started():
			return fmt.Sprintf("%s has not started", o.key)
		}
	}
	return ""
}

// sayPause is how soon it is looked again whether a status was written.
const sayPause = 100 * time.Millisecond

// command plans a command of a name, for a pod or, with an empty one, for nobody. One that
// ends the service of pods waits until they show it.
func (p *planner) command(n *name, c Planned) {
	n.raise(commanded)
	switch p.said(n, c.Command) {
	case told:
		p.out.command(c)
	case telling:
		p.out.announce(c.Command)
		p.out.wake(p.in.Now.Add(sayPause))
	case untold:
		if !p.in.Held {
			p.out.announce(c.Command)
			p.out.wake(p.in.Now)
		}
	}
}

// saying is how far the pods are with saying that a command ends their service. The order
// counts: of several pods the least is meant.
type saying int

const (
	untold  saying = iota // it shows that its module serves
	telling               // that it does not is being written
	told
)

func (p *planner) said(n *name, c tunnel.Command) saying {
	least := told
	for _, w := range n.wants {
		s := statusOf(w.pod.Pod, w.container)
		switch {
		case s == nil, !ends(c, w.key), !p.serves(w):
		case s.Ready:
			least = min(least, untold)
		case w.pod.Writing:
			least = min(least, telling)
		}
	}
	return least
}
