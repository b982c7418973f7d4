package plan

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

// After a takeover some pods come before others.
func TestNothingIsDoneAboutModulesThatAnUnsyncedPodMayWant(t *testing.T) {
	for what, version := range map[string]string{"the same version, redeployed": "1", "its version is not known yet": ""} {
		t.Run(what, func(t *testing.T) {
			s := newSim(overMQTT)
			s.pod("old", "orders", "1", urlOf("orders", "1"))
			s.rounds(3)
			s.pod("new", "orders", version, urlOf("orders", "1"))
			s.unsynced = map[string]bool{"new": true}
			s.delete("old")
			s.rounds(5)
			s.wantLog(t, "install orders:1")
		})
	}
	t.Run("a newer version serves", func(t *testing.T) {
		s := newSim(overMQTT)
		s.pod("old", "orders", "1", urlOf("orders", "1"))
		s.rounds(3)
		s.pod("new", "orders", "2", urlOf("orders", "2"))
		s.rounds(6)
		before := slices.Clone(s.log)
		s.unsynced = map[string]bool{"new": true}
		s.rounds(5)
		s.wantLog(t, before...)
		s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:2")
	})
}

// One live pod outweighs terminating ones, in whatever order they come.
func TestDemandOfAModule(t *testing.T) {
	for _, c := range []struct {
		name string
		pods []Pod
		want interest
		by   types.UID
	}{
		{"nobody", nil, unrequested, ""},
		{"another version", []Pod{podFor("a", "orders:2")}, unrequested, ""},
		{"a live pod", []Pod{podFor("a", "orders:1")}, requested, ""},
		{"a pod that is not synced", []Pod{podFor("a", "orders:1", notSynced)}, requested, ""},
		{"a pod without its Secret: it may run already", []Pod{podFor("a", "orders:1", noSecret)}, requested, ""},
		{"a terminating pod", []Pod{podFor("a", "orders:1", terminating)}, released, "a"},
		{"a pod deleted by force", []Pod{podFor("a", "orders:1", gone)}, released, "a"},
		{"terminating pods, the younger last", []Pod{podFor("b", "orders:1", gone), podFor("a", "orders:1", terminating, age(time.Hour))}, released, "b"},
		{"both, the live one older", []Pod{podFor("a", "orders:1", age(time.Hour)), podFor("b", "orders:1", terminating)}, requested, "b"},
		{"both, the live one younger", []Pod{podFor("a", "orders:1", terminating, age(time.Hour)), podFor("b", "orders:1")}, requested, "a"},
		{"a pod that ended", []Pod{podFor("a", "orders:1", succeeding)}, unrequested, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := demandOf(Input{Pods: c.pods})
			if got := d.of(module("orders:1")); got != c.want {
				t.Errorf("demand %d, want %d", got, c.want)
			}
			if got := d.releasedBy[module("orders:1")]; got != c.by {
				t.Errorf("released by %q, want %q", got, c.by)
			}
		})
	}
}

// Where a module was installed from, as the youngest pod tells that ran it.
func TestDemandSources(t *testing.T) {
	d := demandOf(Input{Pods: []Pod{
		podFor("new", "orders:1"),
		podFor("older", "orders:1", ran("file:///older.jar"), age(3*time.Minute)),
		podFor("old", "orders:1", ran("file:///old.jar"), age(2*time.Minute), terminating),
		podFor("other", "orders:2", ran("file:///other.jar")),
	}})
	want := map[tunnel.ModuleKey]string{module("orders:1"): "file:///old.jar", module("orders:2"): "file:///other.jar"}
	if diff := cmp.Diff(want, d.sources); diff != "" {
		t.Errorf("sources (-want +got):\n%s", diff)
	}
}

// What keeps a pod's modules from being wanted.
func TestDemandWants(t *testing.T) {
	for _, c := range []struct {
		name   string
		pod    Pod
		wants  int
		work   work
		reason string
	}{
		{"a live pod", podFor("a", "orders:1"), 1, idle, ""},
		{"not synced", podFor("a", "orders:1", notSynced), 0, unsynced, ""},
		{"not resolved", podFor("a", "orders:1", noSecret), 0, idle, ReasonConfigError},
		{"no version", podFor("a", "orders:"), 0, idle, ""},
		{"terminating", podFor("a", "orders:1", terminating), 0, idle, ""},
		{"terminating and not resolved", podFor("a", "orders:1", terminating, noSecret), 0, idle, ""},
		{"ended", podFor("a", "orders:1", succeeding), 0, idle, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := demandOf(Input{Pods: []Pod{c.pod}})
			n := d.name("orders")
			if len(n.wants) != c.wants || n.work != c.work || reasonOf(d.plans["a"]) != c.reason {
				t.Errorf("%d wants, work %d, unfit for %q", len(n.wants), n.work, reasonOf(d.plans["a"]))
			}
		})
	}
}

// reasonOf is why a pod is unfit; empty where it is not, or is not live.
func reasonOf(pp *podPlan) string {
	if pp == nil {
		return ""
	}
	return pp.unfit.reason
}

func TestDemandIsRead(t *testing.T) {
	// The oldest pod's modules come first, then those of the next.
	pods := []Pod{podFor("b", "stock:1"), podFor("a", "orders:1", age(time.Hour)), podFor("c", "bills:1")}
	d := demandOf(Input{Pods: pods})
	var names []string
	for _, n := range d.sorted() {
		names = append(names, n.name)
	}
	if diff := cmp.Diff([]string{"orders", "stock", "bills"}, names); diff != "" {
		t.Errorf("names (-want +got):\n%s", diff)
	}
	if d.pods[0].Name != "a" || d.pods[1].Name != "b" || d.pods[2].Name != "c" || pods[0].Name != "b" {
		t.Error("pods are not the oldest first, or the caller's were moved")
	}
}

func TestWorkOnlyRises(t *testing.T) {
	n := &name{}
	for _, s := range []struct{ raise, want work }{{commanded, commanded}, {idle, commanded}, {unsynced, unsynced}, {busy, unsynced}} {
		if n.raise(s.raise); n.work != s.want {
			t.Errorf("work %d, want %d", n.work, s.want)
		}
	}
}
