package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/tunnel"
)

func TestReplacingAVersion(t *testing.T) {
	for _, c := range []struct {
		name     string
		features tunnel.Features
		plain    bool
		fail     string
		atOnce   bool
		want     []string
		serving  string
		pods     map[string]string
	}{
		{"over HTTP: beside, then switched", overHTTP, false, "", false,
			[]string{"install orders:1", "install orders:2", "switch orders:2"}, "orders:2", map[string]string{"old": ReasonSuperseded, "new": "Running"}},
		{"over MQTT: proved, then replaced", overMQTT, false, "", false,
			[]string{"install orders:1", "install orders:2", "install orders:2 replacing"}, "orders:2", map[string]string{"old": ReasonSuperseded, "new": "Running"}},
		{"on a runtime that replaces nothing", overMQTT, true, "", false,
			[]string{"install orders:1", "install orders:2", "install orders:2 replacing", "uninstall orders:1", "uninstall orders:2", "install orders:2"},
			"orders:2", map[string]string{"old": ReasonSuperseded, "new": "Running"}},
		{"at once", overHTTP, false, "", true,
			[]string{"install orders:1", "install orders:2 replacing"}, "orders:2", map[string]string{"old": ReasonSuperseded, "new": "Running"}},
		{"one that cannot start leaves the old one", overMQTT, false, "no stock today", false,
			[]string{"install orders:1", "install orders:2"}, "orders:1", map[string]string{"old": "Running", "new": ReasonInstallFailed}},
		{"at once, and it cannot start: the old one is given back", overHTTP, false, "no stock today", true,
			[]string{"install orders:1", "install orders:2 replacing", "install orders:1"}, "orders:1", map[string]string{"old": "Running", "new": ReasonInstallFailed}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(c.features)
			s.plain = c.plain
			s.pod("old", "orders", "1", urlOf("orders", "1"))
			s.rounds(3)
			s.want(t, map[string]string{"old": "Running"}, "orders:1")
			s.jar(urlOf("orders", "2"), "orders", "2", c.fail)
			pod := s.pod("new", "orders", "2", urlOf("orders", "2"))
			if c.atOnce {
				pod.Annotations = map[string]string{AnnotationReplace: ReplaceAtOnce}
			}
			for range 12 {
				s.round()
				if c.fail != "" && len(s.log) == len(c.want) && s.shows("new") == ReasonInstallFailed && s.shows("old") == "Running" {
					break // before it is tried again
				}
			}
			s.wantLog(t, c.want...)
			s.want(t, c.pods, c.serving)
			s.delete("old")
			s.jar(urlOf("orders", "2"), "orders", "2", "")
			s.rounds(30)
			s.want(t, map[string]string{"old": "gone", "new": "Running"}, "orders:2")
		})
	}
}

// A base may be told to keep what did not start. It must never take the place of what
// serves, however often it is tried.
func TestAVersionThatIsListedBrokenLeavesTheOldOne(t *testing.T) {
	for name, features := range map[string]tunnel.Features{"over HTTP": overHTTP, "over MQTT": overMQTT} {
		t.Run(name, func(t *testing.T) {
			s := newSim(features)
			s.keepsFailed = true
			s.pod("old", "orders", "1", urlOf("orders", "1"))
			s.rounds(3)
			s.jar(urlOf("orders", "2"), "orders", "2", "no stock today")
			s.pod("new", "orders", "2", urlOf("orders", "2"))
			for range 300 {
				s.round()
				if s.serving() != "orders:1" {
					t.Fatalf("the base serves %q after %s", s.serving(), strings.Join(s.log, "; "))
				}
			}
			if n := len(s.log); n < 5 || n > 30 {
				t.Errorf("%d commands: %s", n, strings.Join(s.log, "; "))
			}
			s.jar(urlOf("orders", "2"), "orders", "2", "")
			s.rounds(300)
			s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:2")
		})
	}
}

// Pods that want one version from two URLs, neither of which has it, must not take turns:
// each would make the failure of the other forgotten.
func TestTwoURLsOfOneVersionTakeNoTurns(t *testing.T) {
	s := newSim(overHTTP)
	for i, url := range []string{"file:///x.jar?again", "file:///x.jar", "file:///x.jar"} {
		s.jar(url, "orders", "x", "")
		s.pod(fmt.Sprint("p", i), "orders", []string{"2", "2", "1"}[i], url)
	}
	s.rounds(60) // 2 minutes, and a wrong jar is tried again after 5
	s.wantLog(t, "install orders:1", "uninstall orders:x", "install orders:2", "uninstall orders:x")
}

func TestARolledBackVersion(t *testing.T) {
	s := newSim(overHTTP)
	s.pod("a", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.pod("b", "orders", "2", urlOf("orders", "2"))
	s.rounds(6)
	s.pod("c", "orders", "1", urlOf("orders", "1"))
	s.rounds(6)
	s.want(t, map[string]string{"b": ReasonSuperseded, "c": "Running"}, "orders:1")
	s.delete("a")
	s.delete("b")
	s.rounds(6)
	s.want(t, map[string]string{"a": "gone", "b": "gone", "c": "Running"}, "orders:1")
	if n := s.installs[tunnel.ModuleKey{Name: "orders", Version: "1"}]; n != 1 {
		t.Errorf("version 1 was installed %d times, want once", n)
	}
}

func TestAnImageChangedInPlaceIsInstalledOnce(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.jar("file:///fixed.jar", "orders", "1", "")
	pod.Spec.Containers[0].Image = "file:///fixed.jar"
	s.rounds(6)
	s.want(t, map[string]string{"p": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1", "install orders:1 replacing")
	if c := pod.Status.ContainerStatuses[0]; c.RestartCount != 1 || c.ImageID != "file:///fixed.jar" {
		t.Errorf("restarts %d, image id %s", c.RestartCount, c.ImageID)
	}
}

// What somebody else began, a version that is on its way, is waited for before it is
// uninstalled: the base would refuse it as long.
func TestAModuleThatIsStartingIsNotUninstalled(t *testing.T) {
	s := newSim(overMQTT)
	s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.delete("p")
	s.modules = []tunnel.Module{{ModuleKey: tunnel.ModuleKey{Name: "orders", Version: "1"}, State: tunnel.Resolved}}
	s.round()
	for range 40 {
		if out := s.round(); !out.Ask {
			t.Fatal("nobody asks what became of it")
		}
	}
	s.wantLog(t)
	s.modules[0].State = tunnel.Activated
	s.rounds(5)
	s.wantLog(t, "uninstall orders:1")
	s.want(t, map[string]string{"p": "gone"}, "")
}

// What comes next for a pod, by what the base has of its module.
func TestAdvance(t *testing.T) {
	changed := image("file:///changed.jar")
	for _, c := range []struct {
		name   string
		list   []string
		pod    Pod
		change func(*Input)
		want   string
		ask    bool
	}{
		{name: "absent", pod: podFor("p", "orders:1"), want: "install orders:1 for p"},
		{name: "absent beside another version", list: []string{"orders:0 activated"}, pod: podFor("p", "orders:1"), want: "install orders:1 for p"},
		{name: "absent, and another goes at once", list: []string{"orders:0 activated"}, pod: podFor("p", "orders:1", atOnce), want: "install orders:1 replacing for p"},
		{name: "absent, at once, with nothing to replace", pod: podFor("p", "orders:1", atOnce), want: "install orders:1 for p"},
		{name: "unlisted", pod: podFor("p", "orders:1"), change: func(in *Input) { in.Seen.Partial = true }, ask: true},
		{name: "starting", list: []string{"orders:1 resolved"}, pod: podFor("p", "orders:1"), ask: true},
		{name: "serving", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran(urlOf("orders", "1")))},
		{name: "serving, from nobody knows where", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", changed)},
		{name: "serving from another URL", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran("file:///old.jar"), unready), want: "install orders:1 replacing for p"},
		{name: "serving from another URL, and the pod does not show that it ends", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran("file:///old.jar"))},
		{name: "serving from another URL, which failed", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran("file:///old.jar")),
			change: failing(Failure{Purpose: from(urlOf("orders", "1")), Count: 1, NotBefore: noon.Add(time.Second)})},
		{name: "serving from another URL, which failed before", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", ran("file:///old.jar"), unready),
			change: failing(Failure{Purpose: from(urlOf("orders", "1")), Count: 1, NotBefore: noon}), want: "install orders:1 replacing for p"},
		{name: "deactivated, over MQTT", list: []string{"orders:0 activated", "orders:1 deactivated"}, pod: podFor("p", "orders:1"), want: "install orders:1 replacing for p"},
		{name: "deactivated, over HTTP", list: []string{"orders:0 activated", "orders:1 deactivated"}, pod: podFor("p", "orders:1"), change: withSwitch, want: "switch orders:1 for p"},
		{name: "deactivated, and the switch failed", list: []string{"orders:1 deactivated"}, pod: podFor("p", "orders:1"),
			change: func(in *Input) { withSwitch(in); failing(Failure{Purpose: ofSwitch, Count: 1})(in) }, want: "install orders:1 replacing for p"},
		{name: "deactivated, from another URL", list: []string{"orders:1 deactivated"}, pod: podFor("p", "orders:1", ran("file:///old.jar")), change: withSwitch, want: "install orders:1 replacing for p"},
		{name: "broken and alone", list: []string{"orders:1 broken"}, pod: podFor("p", "orders:1"), want: "install orders:1 replacing for p"},
		{name: "broken beside another version", list: []string{"orders:0 activated", "orders:1 broken"}, pod: podFor("p", "orders:1"), want: "uninstall orders:1"},
		{name: "broken on a base that replaces nothing", list: []string{"orders:1 broken"}, pod: podFor("p", "orders:1"), change: plain, want: "uninstall orders:1"},
		{name: "deactivated on a base that replaces nothing: others go first", list: []string{"orders:0 activated", "orders:1 deactivated"}, pod: podFor("p", "orders:1"), change: plain, want: "uninstall orders:0"},
		{name: "deactivated on a base that replaces nothing: younger ones too", list: []string{"orders:1 deactivated", "orders:2 activated"}, pod: podFor("p", "orders:1"), change: plain, want: "uninstall orders:2"},
		{name: "with settings", pod: podFor("p", "orders:1"), change: func(in *Input) { in.Seen.Features.Settings = true }, want: "install orders:1 for p"},
		{name: "not synced", pod: podFor("p", "orders:1", notSynced)},
		{name: "in flight", pod: podFor("p", "orders:1"), change: func(in *Input) { *in = in.sent(install("orders:1"), time.Second) }},
		{name: "released, and it goes first", list: []string{"orders:0 activated"}, pod: podFor("p", "orders:0", terminating), want: "uninstall orders:0 for p"},
		{name: "released, and it starts", list: []string{"orders:0 resolved"}, pod: podFor("p", "orders:0", terminating), ask: true},
		{name: "released, and that failed just now", list: []string{"orders:1 activated"}, pod: podFor("p", "orders:1", terminating),
			change: failing(Failure{Purpose: ofUninstall, Count: 1, NotBefore: noon.Add(time.Second)})},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(c.pod)
			if c.change != nil {
				c.change(&in)
			}
			p := newPlanner(in)
			resolver{p}.resolveAll()
			installer{p}.installAll()
			if got := commands(p.out.Output); got != c.want || p.out.Ask != c.ask {
				t.Errorf("commands %q, asks %v; want %q, %v", got, p.out.Ask, c.want, c.ask)
			}
		})
	}
}

func atOnce(p *Pod)        { p.Annotations = map[string]string{AnnotationReplace: ReplaceAtOnce} }
func withSwitch(in *Input) { in.Seen.Features.Switch = true }

// plain makes a base one that was seen to replace nothing.
func plain(in *Input) { in.Memory.Plain = true }

// failing remembers a failure of orders:1.
func failing(f Failure) func(*Input) {
	return func(in *Input) { in.Memory.Failures[module("orders:1")] = f }
}

// While the chosen version backs off, the youngest of the others that may be tried is
// given back, unless something serves.
func TestFallBack(t *testing.T) {
	failed := func(word string) func(*Input) {
		key := module(word)
		return func(in *Input) {
			in.Memory.Failures[key] = Failure{Purpose: from(urlOf(key.Name, key.Version)), Count: 1, NotBefore: noon.Add(time.Minute)}
		}
	}
	for _, c := range []struct {
		name         string
		list         []string
		fails        []string
		want, events string
	}{
		{"the youngest", nil, []string{"orders:3"}, "install orders:2 for b", "ModuleRestored: restored orders:2: orders:3 failed to replace it"},
		{"one that failed is left out", nil, []string{"orders:3", "orders:2"}, "install orders:1 for a", "ModuleRestored: restored orders:1: orders:3 failed to replace it"},
		{"all failed", nil, []string{"orders:3", "orders:2", "orders:1"}, "", ""},
		{"one serves", []string{"orders:1 activated"}, []string{"orders:3"}, "", ""},
		{"what is broken serves nobody", []string{"orders:1 broken"}, []string{"orders:3"}, "install orders:2 for b", "ModuleRestored: restored orders:2: orders:3 failed to replace it"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(podFor("a", "orders:1", age(3*time.Minute)), podFor("b", "orders:2", age(2*time.Minute)), podFor("c", "orders:3"))
			for _, word := range c.fails {
				failed(word)(&in)
			}
			p := newPlanner(in)
			installer{p}.installAll()
			if got := commands(p.out.Output); got != c.want || events(p.out.Output) != c.events {
				t.Errorf("commands %q, events %q; want %q, %q", got, events(p.out.Output), c.want, c.events)
			}
			if !p.out.Next.Equal(noon.Add(time.Minute)) {
				t.Errorf("next %s, want when the chosen one may be tried", p.out.Next)
			}
		})
	}
}

// Arguments and environment go where the base takes them.
func TestInstallPassesSettings(t *testing.T) {
	pod := podFor("p", "orders:1")
	pod.Spec.Containers[0].Args = []string{"--fast"}
	pod.Spec.Containers[0].Env = append(pod.Spec.Containers[0].Env, corev1.EnvVar{Name: "DB", Value: "main"})
	for _, takes := range []bool{false, true} {
		in := onBase().with(pod)
		in.Seen.Features.Settings = takes
		c := Modules(in).Commands[0]
		if passed := len(c.Args) == 1 && c.Env["DB"] == "main"; passed != takes {
			t.Errorf("takes settings %v: args %v, env %v", takes, c.Args, c.Env)
		}
	}
}

// What serves has not failed, though its back-off is not over: somebody else may have
// installed it.
func TestAVersionThatServesForgetsItsFailure(t *testing.T) {
	in := onBase("orders:1 activated").with(podFor("p", "orders:1"))
	failing(Failure{Purpose: from(urlOf("orders", "1")), Count: 3, NotBefore: noon.Add(time.Minute)})(&in)
	if out := Modules(in); len(out.Memory.Failures) > 0 || commands(out) != "" {
		t.Errorf("failures %v, commands %q", out.Memory.Failures, commands(out))
	}
}

// What is installed gets an environment of now: one that was resolved long ago, or that the
// module ran with, is resolved anew first, and the pod says meanwhile that it is being
// installed. What refers to nothing needs none.
func TestAnEnvironmentIsOfNow(t *testing.T) {
	resolved := func(before time.Duration) func(*Pod) { return func(p *Pod) { p.Resolved = noon.Add(-before) } }
	runs := func(before time.Duration) func(*Pod) {
		return func(p *Pod) {
			at := metav1.NewTime(noon.Add(-before).Truncate(time.Second))
			p.Status.ContainerStatuses = []corev1.ContainerStatus{{Name: "orders", State: corev1.ContainerState{Running: &corev1.ContainerStateRunning{StartedAt: at}}, ContainerID: "koupleless://b/orders:1/1"}}
		}
	}
	ran := func(before time.Duration) func(*Pod) {
		return func(p *Pod) {
			runs(before)(p)
			s := &p.Status.ContainerStatuses[0]
			s.LastTerminationState.Terminated = &corev1.ContainerStateTerminated{StartedAt: s.State.Running.StartedAt}
			s.State = corev1.ContainerState{Waiting: &corev1.ContainerStateWaiting{Reason: ReasonInstallFailed}}
		}
	}
	for _, c := range []struct {
		name  string
		in    Input
		want  []string
		stale []types.UID
	}{
		{"it refers to nothing", onBase().with(podFor("a", "orders:1", runs(time.Minute))), []string{"install orders:1"}, nil},
		{"just now", onBase().with(podFor("a", "orders:1", resolved(time.Second))), []string{"install orders:1"}, nil},
		{"long ago", onBase().with(podFor("a", "orders:1", resolved(freshFor))), nil, []types.UID{"a"}},
		{"it ran with it", onBase().with(podFor("a", "orders:1", resolved(3*time.Second), runs(2*time.Second))), nil, []types.UID{"a"}},
		{"it began to run in that second", onBase().with(podFor("a", "orders:1", resolved(1500*time.Millisecond), runs(1200*time.Millisecond))), nil, []types.UID{"a"}},
		{"it ran before", onBase().with(podFor("a", "orders:1", resolved(time.Second), runs(5*time.Second))), []string{"install orders:1"}, nil},
		{"it ran before, and failed since", onBase().with(podFor("a", "orders:1", resolved(time.Second), ran(5*time.Second))), []string{"install orders:1"}, nil},
		{"it ran with it, and failed since", onBase().with(podFor("a", "orders:1", resolved(9*time.Second), ran(5*time.Second))), nil, []types.UID{"a"}},
		{"beside another", onBase().with(podFor("a", "orders:1", resolved(time.Hour)), podFor("b", "stock:1")), []string{"install stock:1"}, []types.UID{"a"}},
	} {
		out := Modules(c.in)
		var got []string
		for _, p := range out.Commands {
			got = append(got, string(p.Verb)+" "+p.Module.String())
		}
		if !slices.Equal(got, c.want) || !slices.Equal(out.Stale, c.stale) {
			t.Errorf("%s: commands %v, stale %v; want %v, %v", c.name, got, out.Stale, c.want, c.stale)
		}
		if shows := waitsFor(&out.Statuses[0].Status.ContainerStatuses[0]); shows != ReasonInstalling {
			t.Errorf("%s: it shows %s", c.name, shows)
		}
	}
}
