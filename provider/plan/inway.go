package plan

import (
	"fmt"
	"time"

	"module-controller/tunnel"
)

// inTheWay is a listed version that no live pod asks for and that keeps a want in this
// state from going on; false where there is none. One that is there keeps nobody from being
// switched to.
func (p *planner) inTheWay(n *name, w *want, is wantState) (tunnel.ModuleKey, bool) {
	for _, key := range p.list.byName[n.name] {
		switch p.demand.of(key) {
		case released:
			if is != wantToSwitch || p.list.of(key) == starting { // the base would be busy
				return key, true
			}
		case lingering:
			if !w.beside(is) && p.list.of(key) == serving {
				return key, true
			}
		case unrequested, requested:
		}
	}
	return tunnel.ModuleKey{}, false
}

// whyThere says why a version is still on the base that is to be uninstalled; empty where
// nothing is wrong with it.
func (p *planner) whyThere(key tunnel.ModuleKey) string {
	f := p.failures.of(key, Purpose{Verb: tunnel.UninstallModule})
	switch {
	case !p.list.of(key).listed():
		return ""
	case p.hung(key):
		return p.whyHung(key)
	case f.Count > 0:
		return fmt.Sprintf("uninstall of %s failed: %s (tries: %d, next after %s)", key, f.Message, f.Count, f.NotBefore.Sub(f.At).Truncate(time.Second))
	case p.stopsFor(key) >= slowAfter:
		return fmt.Sprintf("%s is being uninstalled for %s", key, roughly(p.stopsFor(key)))
	case p.list.of(key) == starting:
		return fmt.Sprintf("%s is starting, and is uninstalled then", key)
	}
	return ""
}

// whyLeaving says why a terminating pod is still there; empty where nothing is wrong.
func (p *planner) whyLeaving(pod Pod) string {
	for _, key := range ModulesOf(pod.Pod) {
		if p.demand.of(key) != released {
			continue
		}
		if why := p.whyThere(key); why != "" {
			return clip(why)
		}
	}
	return ""
}
