package lifecycle

import (
	"maps"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// metaspace is what a base's health counts of its modules. What a module uses must be known
// to be in the used metaspace before its pod's request is added back to what is left, or it is
// given out twice. A map is nil while there is no list.
type metaspace struct {
	// present has the modules that are loaded by the last list.
	present map[tunnel.ModuleKey]bool
	// asked has those that were when health was asked for last. Where there was no list yet
	// it is nil and stands for the first one: no command leaves before.
	asked map[tunnel.ModuleKey]bool
	// counted has those that health counts: they were loaded, and no command was about them,
	// when it was asked for and when it came.
	counted map[tunnel.ModuleKey]bool
	// outdated: other modules are loaded than health counts, so it is asked for anew.
	outdated bool
}

// ask takes in that health is asked for, while commands are on their way for some names: what
// is listed of them may be there no more.
func (m *metaspace) ask(commanded map[string]plan.Attempt) { m.asked = m.resting(commanded) }

// told takes in that health came.
func (m *metaspace) told(commanded map[string]plan.Attempt) {
	m.counted = m.resting(commanded)
	if m.asked != nil {
		maps.DeleteFunc(m.counted, func(key tunnel.ModuleKey, _ bool) bool { return !m.asked[key] })
	}
	m.outdated = !maps.Equal(m.counted, m.present)
}

// resting gives the modules that are loaded and that no command is about.
func (m *metaspace) resting(commanded map[string]plan.Attempt) map[tunnel.ModuleKey]bool {
	keys := maps.Clone(m.present)
	maps.DeleteFunc(keys, func(key tunnel.ModuleKey, _ bool) bool { _, is := commanded[key.Name]; return is })
	return keys
}

// listed takes in a list. Known says that health came already.
func (m *metaspace) listed(modules []tunnel.Module, known bool) {
	m.present = loaded(modules)
	if !known {
		return
	}
	if m.counted == nil {
		m.counted = m.present
	}
	m.outdated = !maps.Equal(m.counted, m.present)
}

// requested is the memory, in bytes, that pods request for modules that health counts and
// that are still there. What is uninstalled counts as the base's own until it tells anew.
func (m *metaspace) requested(pods []plan.Pod) (sum int64) {
	for key, bytes := range plan.MemoryRequests(pods) {
		if m.counted[key] && m.present[key] {
			sum += bytes
		}
	}
	return sum
}

// loaded gives the modules that have all that they need loaded; it is never nil.
func loaded(modules []tunnel.Module) map[tunnel.ModuleKey]bool {
	keys := map[tunnel.ModuleKey]bool{}
	for _, m := range modules {
		switch m.State {
		case tunnel.Activated, tunnel.Deactivated:
			keys[m.ModuleKey] = true
		case tunnel.Unresolved, tunnel.Resolved, tunnel.Broken, tunnel.Stopped, tunnel.UnknownState:
		}
	}
	return keys
}
