package plan

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"module-controller/tunnel"
)

// presence is what the base's list tells of one module version. The order counts:
// what is above unlisted is in the list, what is from deactivated on has started.
type presence int

const (
	absent      presence = iota // the list is whole and the module is not in it
	unlisted                    // it is not in the list, which is partial: it may be there
	broken                      // listed, but its main did not run to its end
	starting                    // its main runs
	deactivated                 // its main has ended well, it does not serve
	serving
)

// presences is how many there are.
const presences = int(serving) + 1

func (p presence) String() string {
	return [presences]string{"absent", "unlisted", "broken", "starting", "deactivated", "serving"}[p]
}

func (p presence) listed() bool  { return p > unlisted }
func (p presence) started() bool { return p >= deactivated }

// outlasts says of a pod's module that it runs, or may, without being installed anew.
func (p presence) outlasts() bool { return p != absent && p != broken }

// presenceOf is how a listed module in that state stands. Words that this program does
// not know say nothing good.
func presenceOf(s tunnel.State) presence {
	switch s {
	case tunnel.Activated:
		return serving
	case tunnel.Deactivated:
		return deactivated
	case tunnel.Resolved, tunnel.Unresolved:
		return starting
	case tunnel.Broken, tunnel.Stopped, tunnel.UnknownState:
		return broken
	}
	return broken
}

// list is the base's module list as the planner reads it. It is never changed.
type list struct {
	seen Seen
	// byKey has each listed module, byName the same in the order of their versions.
	byKey  map[tunnel.ModuleKey]tunnel.Module
	byName map[string][]tunnel.ModuleKey
}

func newList(seen Seen) *list {
	n := len(seen.Modules)
	l := &list{seen: seen, byKey: make(map[tunnel.ModuleKey]tunnel.Module, n), byName: make(map[string][]tunnel.ModuleKey, n)}
	for _, m := range seen.Modules {
		l.byKey[m.ModuleKey] = m
		l.byName[m.Name] = append(l.byName[m.Name], m.ModuleKey)
	}
	for _, keys := range l.byName {
		slices.SortFunc(keys, compareKeys)
	}
	return l
}

// of is what the list tells of a module.
func (l *list) of(key tunnel.ModuleKey) presence {
	if m, there := l.byKey[key]; there {
		return presenceOf(m.State)
	}
	if l.seen.Partial {
		return unlisted
	}
	return absent
}

// asOf says whether the list shows what was done until then.
func (l *list) asOf(at time.Time) bool { return l.seen.Listed.After(at) }

// serves says whether any version of a name serves.
func (l *list) serves(name string) bool {
	return slices.ContainsFunc(l.byName[name], func(key tunnel.ModuleKey) bool { return l.of(key) == serving })
}

// proves says whether the list shows a command's effect beyond doubt. A replacement of
// the very version that is listed leaves no trace in the list: only its answer tells.
func (l *list) proves(c tunnel.Command) bool {
	is := l.of(c.Module)
	switch c.Verb {
	case tunnel.InstallModule:
		return is.started() && !c.Replace
	case tunnel.UninstallModule:
		return is == absent
	case tunnel.SwitchModule:
		return is == serving
	case tunnel.ListModules, tunnel.ReadHealth, tunnel.AnswerBaseline: // they change nothing
		return true
	}
	return true
}

func compareKeys(a, b tunnel.ModuleKey) int {
	return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Version, b.Version))
}
