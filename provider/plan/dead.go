package plan

import (
	"cmp"
	"maps"
	"time"

	"module-controller/tunnel"
)

// A module that serves may be dead: its liveness or startup probe says so. Then it is
// installed anew, as a kubelet restarts a container: at once, and the next times after
// pauses that grow, until it has served for long.

// forgiveAfter is how long a module must serve until it is forgotten that it was dead.
const forgiveAfter = 10 * time.Minute

// recent says that a module was dead not long ago.
func (f Failure) recent(now time.Time) bool { return f.Killed && now.Before(f.At.Add(forgiveAfter)) }

// dead is why the module is to be installed anew although it serves: what its probes say
// of the start that the pod shows. Empty where they do not.
func (w *want) dead() string {
	probed, s := w.pod.Probed[w.container], statusOf(w.pod.Pod, w.container)
	switch {
	case !running(s), !probed.Since.Equal(&s.State.Running.StartedAt):
		return ""
	}
	return probed.Dead
}

// whyDead is why a module is to be installed anew that serves; empty where it is not.
func (p *planner) whyDead(w *want) string {
	return cmp.Or(p.out.Memory.Dead[w.key], w.dead())
}

// buryDead forgets that modules are dead that do not serve any more, or that nobody wants.
func (p *planner) buryDead() {
	maps.DeleteFunc(p.out.Memory.Dead, func(key tunnel.ModuleKey, _ string) bool {
		n := p.demand.names[key.Name]
		switch {
		case n == nil, p.list.of(key) != serving:
			return true
		}
		return !n.has(key)
	})
}

// restart installs a module anew that is dead, not too soon after the last time. On a base
// that replaces nothing it is uninstalled first.
func (i installer) restart(n *name, w *want) {
	if i.out.tooEarly(i.failureOf(w).NotBefore) {
		return
	}
	why := i.quote(i.whyDead(w)) // a probe says what the module answered
	i.out.Memory.Dead[w.key] = why
	c := Planned{Command: i.installOf(w, true), Pod: w.pod.UID, Why: why}
	if i.out.Memory.Plain {
		c.Command = tunnel.Command{Verb: tunnel.UninstallModule, Module: w.key}
	}
	i.command(n, c)
}

// killed notes that a module was ended because it was dead.
func (r resolver) killed(a Attempt) {
	n := r.demand.name(a.Module.Name)
	if !n.has(a.Module) {
		return
	}
	w := n.chosen
	r.turnTo(w.key, w.purpose())
	f := r.failures.of(w.key, w.purpose())
	f.Purpose, f.Killed, f.At = w.purpose(), true, r.in.Now
	f.Count++
	f.Message = clip(a.Why)
	f.NotBefore = r.in.Now.Add(r.pause(f))
	r.failures[w.key] = f
	r.out.event(a.Pod, true, "Killing", a.Module.String()+" was stopped to be installed anew: "+f.Message)
}
