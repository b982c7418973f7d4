package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/tunnel"
)

func TestPresenceOfEveryState(t *testing.T) {
	for state, want := range map[tunnel.State]presence{
		tunnel.Activated: serving, tunnel.Deactivated: deactivated,
		tunnel.Resolved: starting, tunnel.Unresolved: starting,
		tunnel.Broken: broken, tunnel.Stopped: broken, tunnel.UnknownState: broken, "made up": broken,
	} {
		if got := presenceOf(state); got != want {
			t.Errorf("presenceOf(%s) = %s, want %s", state, got, want)
		}
	}
}

func TestPresenceIsOrdered(t *testing.T) {
	for p, want := range map[presence]struct {
		text            string
		listed, started bool
	}{
		absent:      {"absent", false, false},
		unlisted:    {"unlisted", false, false},
		broken:      {"broken", true, false},
		starting:    {"starting", true, false},
		deactivated: {"deactivated", true, true},
		serving:     {"serving", true, true},
	} {
		if p.String() != want.text || p.listed() != want.listed || p.started() != want.started {
			t.Errorf("%s: listed %v, started %v; want %+v", p, p.listed(), p.started(), want)
		}
	}
}

func TestListTellsWhatIsThere(t *testing.T) {
	seen := Seen{Modules: listed("orders:2 activated", "orders:1 deactivated", "orders:10 broken", "stock:1 resolved"), Listed: noon}
	whole := newList(seen)
	seen.Partial = true
	partial := newList(seen)
	for word, want := range map[string]presence{
		"orders:2": serving, "orders:1": deactivated, "orders:10": broken, "stock:1": starting, "orders:3": absent, "bills:1": absent,
	} {
		if got := whole.of(module(word)); got != want {
			t.Errorf("%s is %s, want %s", word, got, want)
		}
		if want == absent {
			want = unlisted
		}
		if got := partial.of(module(word)); got != want {
			t.Errorf("on a partial list %s is %s, want %s", word, got, want)
		}
	}
	versions := []tunnel.ModuleKey{module("orders:1"), module("orders:10"), module("orders:2")}
	if d := cmp.Diff(versions, whole.byName["orders"]); d != "" {
		t.Errorf("versions (-want +got):\n%s", d)
	}
	if !whole.serves("orders") || whole.serves("stock") || whole.serves("bills") {
		t.Error("a name serves where one of its versions does")
	}
	if whole.asOf(noon) || !whole.asOf(noon.Add(-time.Nanosecond)) {
		t.Error("a list shows what was done before it was asked for")
	}
}

// What each command's effect looks like in a list, over all that a list may tell.
func TestListProvesCommands(t *testing.T) {
	modules := map[presence]Seen{
		absent: {}, unlisted: {Partial: true}, broken: {Modules: listed("orders:1 broken")},
		starting: {Modules: listed("orders:1 resolved")}, deactivated: {Modules: listed("orders:1 deactivated")},
		serving: {Modules: listed("orders:1 activated")},
	}
	for _, c := range []struct {
		what    string
		command tunnel.Command
		proofs  []presence
	}{
		{"install", install("orders:1"), []presence{deactivated, serving}},
		{"a replacement never", install("orders:1", replacing), nil},
		{"uninstall", uninstall("orders:1"), []presence{absent}},
		{"switch", switchTo("orders:1"), []presence{serving}},
		{"list changes nothing", tunnel.Command{Verb: tunnel.ListModules, Module: module("orders:1")}, []presence{absent, unlisted, broken, starting, deactivated, serving}},
	} {
		for is, seen := range modules {
			if got := newList(seen).proves(c.command); got != slices.Contains(c.proofs, is) {
				t.Errorf("%s, %s: proved %v", c.what, is, got)
			}
		}
	}
}
