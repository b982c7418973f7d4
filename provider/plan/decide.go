package plan

import (
	"maps"
	"slices"
	"time"

	"module-controller/tunnel"
)

// decide plans the next command for a module name, if one is due.
func (p *planner) decide(n *name) {
	if n.busy {
		return
	}
	if p.removeTerminating(n) {
		return
	}
	if n.target == nil {
		return
	}
	if p.blocked(n.target) && !p.serves(n.target.key) {
		p.fallBack(n)
		return
	}
	p.bring(n, n.target)
}

// removeTerminating uninstalls a version that only terminating pods asked for.
func (p *planner) removeTerminating(n *name) bool {
	for _, m := range p.versions(n.name) {
		if !p.terminating[m.ModuleKey] || p.keep[m.ModuleKey] {
			continue
		}
		if starting(m) { // whoever served the base before asked for it; the base would be busy
			p.out.Ask = true
			return true
		}
		p.uninstall(n, m.ModuleKey)
		return true
	}
	return false
}

// versions gives the listed versions of a name, in a fixed order.
func (p *planner) versions(n string) []tunnel.Module {
	var found []tunnel.Module
	for key, m := range p.listed {
		if key.Name == n {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, func(a, b tunnel.Module) int { return compareKeys(a.ModuleKey, b.ModuleKey) })
	return found
}

func (p *planner) serves(key tunnel.ModuleKey) bool { return p.listed[key].State == tunnel.Activated }

// blocked says whether an install for a want must wait after a failure.
func (p *planner) blocked(w *want) bool {
	f, failed := p.out.Memory.Failures[w.key]
	if !failed || f.URL != w.url || !p.Now.Before(f.NotBefore) {
		return false
	}
	p.next(f.NotBefore)
	return true
}

// fallBack gives the newest superseded pod its module back where nothing of the
// name serves, while the target has to wait.
func (p *planner) fallBack(n *name) {
	for _, m := range p.versions(n.name) {
		if m.State == tunnel.Activated {
			return
		}
	}
	tried := map[tunnel.ModuleKey]bool{n.target.key: true}
	for _, w := range slices.Backward(n.wants) {
		if !w.superseded || tried[w.key] {
			continue
		}
		tried[w.key] = true // an older one of the same version must not take turns with it
		if !p.blocked(w) {
			p.event(w.pod.UID, false, "ModuleRestored", "restored "+w.key.String()+": "+n.target.key.String()+" failed to replace it")
			p.bring(n, w)
			return
		}
	}
}

// bring plans what leads to a want's module serving.
func (p *planner) bring(n *name, w *want) {
	m, there := p.listed[w.key]
	switch {
	case !there && p.Seen.Partial:
		p.out.Ask = true
	case !there:
		p.install(n, w, w.atOnce() && len(p.versions(n.name)) > 0)
	case starting(m):
		// It is on its way; the list is read again soon.
		p.out.Ask = true
	case m.State == tunnel.Activated && !p.outdated(w):
		p.forget(w)
	case p.blocked(w):
	case m.State == tunnel.Deactivated && !p.outdated(w) && p.canSwitch(w):
		p.command(n, w, tunnel.Command{Verb: tunnel.SwitchModule, Module: w.key})
	case p.out.Memory.Failures[w.key].Plain && p.out.Memory.Failures[w.key].URL == w.url:
		p.makeRoom(n, w)
	case !started(m) && len(p.versions(n.name)) > 1:
		// What did not start must not take the place of one that did.
		p.uninstall(n, w.key)
	default:
		p.install(n, w, true)
	}
}

// forget drops a failure that is over: the version serves.
func (p *planner) forget(w *want) {
	if f, ok := p.out.Memory.Failures[w.key]; ok && f.URL != string(tunnel.UninstallModule) {
		delete(p.out.Memory.Failures, w.key)
	}
}

// outdated says whether the listed version was installed from another URL than is
// wanted now, or has to be installed once more for a later revision.
func (p *planner) outdated(w *want) bool {
	if p.brought[w.key] == w.url {
		return false
	}
	if w.fresh {
		return true
	}
	from := w.running
	if from == "" {
		from = p.lastURL(w.key)
	}
	return from != "" && from != w.url
}

// lastURL is where a listed module was installed from, as another pod's status
// tells; empty when none does.
func (p *planner) lastURL(key tunnel.ModuleKey) string {
	for _, pod := range slices.Backward(p.Pods) {
		if slices.Contains(Wanted(pod.Pod), key) {
			if from := installedFrom(pod.Pod, key.Name); from != "" {
				return from
			}
		}
	}
	return ""
}

func (p *planner) canSwitch(w *want) bool {
	return p.Seen.Features.Switch && p.out.Memory.Failures[w.key].URL != string(tunnel.SwitchModule)
}

// makeRoom uninstalls what stands in the way on a base that replaces nothing: the
// other versions first, then this one.
func (p *planner) makeRoom(n *name, w *want) {
	for _, m := range p.versions(n.name) {
		if m.ModuleKey != w.key {
			p.uninstall(n, m.ModuleKey)
			return
		}
	}
	p.uninstall(n, w.key)
}

func (p *planner) install(n *name, w *want, replace bool) {
	c := tunnel.Command{Verb: tunnel.InstallModule, Module: w.key, URL: w.url, Replace: replace}
	if p.Seen.Features.Settings {
		c.Args, c.Env = w.args, w.env
	}
	p.command(n, w, c)
}

func (p *planner) command(n *name, w *want, c tunnel.Command) {
	n.commanded = true
	p.out.Commands = append(p.out.Commands, Planned{Command: c, Pod: w.pod.UID})
}

// uninstall plans the end of a listed version, unless that failed just now.
func (p *planner) uninstall(n *name, key tunnel.ModuleKey) {
	if f, failed := p.out.Memory.Failures[key]; failed && f.URL == string(tunnel.UninstallModule) && p.Now.Before(f.NotBefore) {
		p.next(f.NotBefore)
		return
	}
	n.commanded = true
	planned := Planned{Command: tunnel.Command{Verb: tunnel.UninstallModule, Module: key}}
	for _, pod := range p.Pods {
		if pod.Terminating() && slices.Contains(Wanted(pod.Pod), key) {
			planned.Pod = pod.UID
		}
	}
	p.out.Commands = append(p.out.Commands, planned)
}

// tidy looks at what is listed and wanted by nobody, and forgets what is gone.
func (p *planner) tidy() {
	for _, m := range p.Seen.Modules {
		key := m.ModuleKey
		n := p.nameOf(key.Name)
		if p.Seen.Partial || p.keep[key] || p.terminating[key] || n.busy {
			if since, known := p.Memory.Unmanaged[key]; known && (p.Seen.Partial || n.busy) {
				p.out.Memory.Unmanaged[key] = since
			}
			continue
		}
		p.unwanted(n, key)
	}
	if p.Seen.Partial || p.inherits() {
		return
	}
	for _, key := range slices.SortedFunc(maps.Keys(p.out.Memory.Installed), compareKeys) {
		if _, there := p.listed[key]; !there && !p.nameOf(key.Name).busy {
			delete(p.out.Memory.Installed, key)
		}
	}
}

func (p *planner) unwanted(n *name, key tunnel.ModuleKey) {
	since, known := p.Memory.Unmanaged[key]
	if !known {
		since = p.Now
		p.event("", true, "UnmanagedModule", key.String()+" is installed but not requested by any pod")
	}
	p.out.Memory.Unmanaged[key] = since
	if !p.out.Memory.Installed[key] && p.Config.Policy != PolicyUninstall {
		p.out.Unmanaged = append(p.out.Unmanaged, key)
		return
	}
	due := since.Add(p.Config.UnmanagedGrace)
	switch {
	case p.Now.Before(due):
		p.next(due)
	case !n.commanded:
		p.uninstall(n, key)
	}
}

func with(m map[tunnel.ModuleKey]time.Time, key tunnel.ModuleKey, at time.Time) map[tunnel.ModuleKey]time.Time {
	m = maps.Clone(m)
	if m == nil {
		m = map[tunnel.ModuleKey]time.Time{}
	}
	m[key] = at
	return m
}
