package plan

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"module-controller/tunnel"
)

var (
	overHTTP = tunnel.Features{Switch: true, Settings: true}
	overMQTT = tunnel.Features{}
)

func (s *sim) want(t *testing.T, pods map[string]string, serving string) {
	t.Helper()
	for name, want := range pods {
		if got := s.shows(name); got != want {
			t.Errorf("pod %s shows %s, want %s", name, got, want)
		}
	}
	if got := s.serving(); got != serving {
		t.Errorf("the base serves %q, want %q", got, serving)
	}
	if t.Failed() {
		t.Logf("commands: %s", strings.Join(s.log, "; "))
	}
}

func (s *sim) wantLog(t *testing.T, want ...string) {
	t.Helper()
	if d := cmp.Diff(want, s.log); d != "" {
		t.Errorf("commands (-want +got):\n%s", d)
	}
}

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

func TestTheSameModuleTwice(t *testing.T) {
	s := newSim(overMQTT)
	s.pod("first", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.pod("second", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.want(t, map[string]string{"first": "Running", "second": ReasonDuplicate}, "orders:1")
	s.delete("first")
	s.rounds(3)
	s.want(t, map[string]string{"first": "gone", "second": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1")
}

func TestALaterRevisionTakesTheSameVersionOver(t *testing.T) {
	s := newSim(overMQTT)
	yes := true
	revise := func(p *corev1.Pod, hash string) {
		p.Labels = map[string]string{"pod-template-hash": hash}
		p.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Name: hash, Controller: &yes}}
	}
	revise(s.pod("old", "orders", "1", urlOf("orders", "1")), "aaa")
	s.rounds(3)
	revise(s.pod("new", "orders", "1", urlOf("orders", "1")), "bbb")
	s.rounds(5)
	s.want(t, map[string]string{"old": ReasonSuperseded, "new": "Running"}, "orders:1")
	s.delete("old")
	s.rounds(5)
	s.want(t, map[string]string{"old": "gone", "new": "Running"}, "orders:1")
	s.wantLog(t, "install orders:1", "install orders:1 replacing")
}

func TestAFailureTellsItsCauseAndWhenItIsTriedAgain(t *testing.T) {
	for _, cause := range []string{"no stock today", strings.Repeat("no stock today, ", 1000)} {
		s := newSim(overMQTT)
		s.jar(urlOf("orders", "1"), "orders", "1", cause)
		s.pod("orders", "orders", "1", urlOf("orders", "1"))
		shown := map[string]string{}
		for range 60 {
			s.round()
			if all := s.pods[0].Status.ContainerStatuses; len(all) > 0 && all[0].State.Waiting != nil {
				shown[all[0].State.Waiting.Reason] = all[0].State.Waiting.Message
			}
		}
		for reason, again := range map[string]string{ReasonInstallFailed: "(next try after 10s)", ReasonInstallBackOff: "attempts failed, back-off "} {
			if message := shown[reason]; !strings.HasPrefix(message, "no stock today") || !strings.Contains(message, again) || len(message) > tunnel.MaxText {
				t.Errorf("%s tells %q, want the cause and %q", reason, message, again)
			}
		}
	}
}

func TestAWrongJarIsNamedAndRemovedOnce(t *testing.T) {
	s := newSim(overMQTT)
	s.jar("file:///x.jar", "orders", "1", "")
	s.pod("wrong", "orders", "9", "file:///x.jar")
	s.rounds(60)
	s.want(t, map[string]string{"wrong": ReasonVersionMismatch}, "")
	s.wantLog(t, "install orders:9", "uninstall orders:1")
	message := s.pods[0].Status.ContainerStatuses[0].State.Waiting.Message
	if !strings.Contains(message, "orders:9") || !strings.Contains(message, "orders:1") {
		t.Errorf("message %q does not name both", message)
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

func TestARestartedBaseGetsItsModulesBack(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.modules = nil
	s.in.Seen.Modules, s.in.Seen.Started = nil, s.now
	s.round()
	if got := s.shows("p"); got != ReasonInstalling {
		t.Errorf("pod shows %s, want %s", got, ReasonInstalling)
	}
	s.rounds(3)
	s.want(t, map[string]string{"p": "Running"}, "orders:1")
	c := pod.Status.ContainerStatuses[0]
	if c.RestartCount != 1 || c.LastTerminationState.Terminated == nil || c.LastTerminationState.Terminated.Reason != reasonBaseRestarted {
		t.Errorf("restarts %d, last %+v", c.RestartCount, c.LastTerminationState.Terminated)
	}
	if pod.Status.Phase != corev1.PodRunning {
		t.Errorf("phase %s", pod.Status.Phase)
	}
}

func TestModulesThatNobodyAskedFor(t *testing.T) {
	key := tunnel.ModuleKey{Name: "alien", Version: "1"}
	for _, c := range []struct {
		name      string
		policy    Policy
		installed bool
		left      bool
	}{{"an unmanaged one is reported", PolicyReport, false, true}, {"an unmanaged one is uninstalled", PolicyUninstall, false, false}, {"ours is uninstalled", PolicyReport, true, false}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSim(overMQTT)
			s.in.Config.Policy = c.policy
			s.in.Memory.Installed = map[tunnel.ModuleKey]bool{key: c.installed}
			if !c.installed {
				s.in.Memory.Installed = nil
			}
			s.modules = []tunnel.Module{{ModuleKey: key, State: tunnel.Activated}}
			var events int
			for i := range 12 {
				for _, e := range s.round().Events {
					if e.Reason == "UnmanagedModule" {
						events++
					}
				}
				if i < 4 && len(s.modules) != 1 {
					t.Fatal("it was uninstalled before the grace was over")
				}
			}
			if left := len(s.modules) == 1; left != c.left || events != 1 {
				t.Errorf("left %v, want %v; %d events, want 1", left, c.left, events)
			}
		})
	}
}

func TestNothingIsUninstalledOnAnInertOrUnreadList(t *testing.T) {
	s := newSim(overMQTT)
	key := tunnel.ModuleKey{Name: "ours", Version: "1"}
	s.in.Memory.Installed = map[tunnel.ModuleKey]bool{key: true}
	s.modules = []tunnel.Module{{ModuleKey: key, State: tunnel.Activated}}
	s.in.Seen.Partial = true
	s.rounds(30)
	s.wantLog(t)
	s.in.Seen.Partial, s.in.Live = false, false
	s.rounds(30)
	s.wantLog(t)
}

// After a takeover some pods come before others.
func TestNothingIsDoneAboutModulesThatAPodOnItsWayMayWant(t *testing.T) {
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

func TestAdoptionChangesNoStatus(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	before := *pod.Status.DeepCopy()
	s.in.Seen.Listed, s.in.Seen.Modules, s.in.Memory.Attempts = time.Time{}, nil, nil // a new process
	s.in.Now = s.now.Add(time.Hour)
	s.in.Pods = []Pod{{Pod: pod}}
	out := Modules(s.in)
	if d := cmp.Diff(before, out.Statuses[0].Status); d != "" || len(out.Commands) > 0 || !out.Ask {
		t.Errorf("commands %v, ask %v, status (-was +is):\n%s", out.Commands, out.Ask, d)
	}
	s.rounds(3)
	if d := cmp.Diff(before, pod.Status); d != "" {
		t.Errorf("status (-was +is):\n%s", d)
	}
	s.wantLog(t, "install orders:1")
}

// Whoever served the base before installed a module for a pod, perhaps only just now;
// then the pod is gone before anybody else has done anything for it.
func TestWhatAnotherInstalledIsNoStranger(t *testing.T) {
	for name, late := range map[string]bool{"listed": false, "under way": true} {
		t.Run(name, func(t *testing.T) {
			s := newSim(overMQTT)
			pod := s.pod("a", "orders", "1", urlOf("orders", "1"))
			install := Planned{Command: tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "orders", Version: "1"}, URL: urlOf("orders", "1")}}
			if !late {
				s.obey(install.Command)
			}
			s.in.Since = s.now
			s.loseCommands = true // the base is busy with the other's command
			s.rounds(2)
			s.in.Since, s.in.Memory.Attempts = s.now, nil // it changes hands again
			if late {
				s.obey(install.Command)
				s.gone[pod.UID], s.in.Memory.Installed = true, nil
			} else {
				s.pods = nil
			}
			s.loseCommands = false
			s.rounds(60)
			s.want(t, map[string]string{"a": "gone"}, "")
			if n := s.uninstalls[install.Module]; n != 1 {
				t.Errorf("uninstalled %d times, want once", n)
			}
		})
	}
}

// A pod that vanished while the command of the owner before was under way: the
// module comes after the pod went.
func TestWhatComesAfterItsPodWentIsUninstalled(t *testing.T) {
	s := newSim(overMQTT)
	pod := s.pod("a", "orders", "1", urlOf("orders", "1"))
	s.gone[pod.UID] = true
	s.in.Since = s.now
	s.round()
	s.rounds(2)
	s.want(t, map[string]string{"a": "gone"}, "")
	s.obey(tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "orders", Version: "1"}, URL: urlOf("orders", "1")})
	s.rounds(20)
	s.want(t, nil, "")
}

// A command that left just before the link broke is not waited for as long as an
// install may take.
func TestACommandLostWithTheLinkIsRepeatedSoon(t *testing.T) {
	s := newSim(overMQTT)
	s.pod("a", "orders", "1", urlOf("orders", "1"))
	s.loseCommands = true
	s.rounds(2)
	s.loseCommands = false
	s.in.LinkSince = s.now
	up := s.now
	for s.shows("a") != "Running" && s.now.Before(up.Add(time.Minute)) {
		s.round()
	}
	s.want(t, map[string]string{"a": "Running"}, "orders:1")
	if took := s.now.Sub(up); took > 40*time.Second {
		t.Errorf("running %s after the link was up", took)
	}
	if s.overlaps > 1 {
		t.Errorf("%d commands overlapped", s.overlaps)
	}
}

func TestInvalidPodsSayWhatToDo(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*corev1.Pod)
		want   string
	}{
		"no version":     {func(p *corev1.Pod) { p.Spec.Containers[0].Env = nil }, EnvVersion},
		"scheme":         {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://host/x.jar" }, "https://"},
		"secret":         {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "ftp://u:hidden@host/x.jar" }, "xxxxx"},
		"long":           {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "http://h/" + strings.Repeat("a", 4096) }, "2048"},
		"control":        {func(p *corev1.Pod) { p.Spec.Containers[0].Image = "http://h/\r\nX: y" }, "control"},
		"too many":       {func(p *corev1.Pod) { p.Spec.Containers = make([]corev1.Container, 1000) }, "64"},
		"init container": {func(p *corev1.Pod) { p.Spec.InitContainers = make([]corev1.Container, 1) }, "init"},
		"twice":          {func(p *corev1.Pod) { p.Spec.Containers = append(p.Spec.Containers, p.Spec.Containers[0]) }, "twice"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(overMQTT)
			pod := s.pod("p", "orders", "1", urlOf("orders", "1"))
			c.change(pod)
			s.rounds(5)
			s.wantLog(t)
			w := pod.Status.ContainerStatuses[0].State.Waiting
			if w == nil || w.Reason != ReasonInvalid || !strings.Contains(w.Message, c.want) || strings.Contains(w.Message, "hidden") {
				t.Errorf("waiting %+v, want %q in it", w, c.want)
			}
			s.delete("p")
			s.rounds(3)
			s.want(t, map[string]string{"p": "gone"}, "")
		})
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

// Modules that are starting and that this process asked nothing about count as commands
// of the owner before, for as long as an answer may take.
func TestCommandsOfTheOwnerBeforeCount(t *testing.T) {
	module := func(name string, state tunnel.State) tunnel.Module {
		return tunnel.Module{ModuleKey: tunnel.ModuleKey{Name: name, Version: "1"}, State: state}
	}
	in := Input{
		Now: noon, Since: noon.Add(-time.Second), Live: true,
		Seen: Seen{Listed: noon, Modules: []tunnel.Module{
			module("a", tunnel.Resolved), module("b", tunnel.Unresolved), module("c", tunnel.Activated), module("ours", tunnel.Resolved),
		}},
		Memory: Memory{Attempts: map[string]Attempt{"ours": {
			Command: tunnel.Command{Verb: tunnel.InstallModule, Module: tunnel.ModuleKey{Name: "ours", Version: "1"}}, Sent: noon.Add(-time.Second),
		}}},
	}
	if n := Modules(in).Inherited; n != 2 {
		t.Errorf("%d are inherited, want 2", n)
	}
	in.Now = noon.Add(time.Minute)
	if n := Modules(in).Inherited; n != 0 {
		t.Errorf("%d are inherited after a minute, want none", n)
	}
}

// Whatever happens, once it stops happening the base and the pods agree, no
// command overlapped another for its module, and nothing is done any more.
func TestEverythingConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := newSim(rapid.SampledFrom([]tunnel.Features{overHTTP, overMQTT}).Draw(t, "features"))
		s.plain = rapid.Bool().Draw(t, "plain")
		made := 0
		for range rapid.IntRange(1, 12).Draw(t, "events") {
			switch rapid.IntRange(0, 8).Draw(t, "event") {
			case 0, 1, 2:
				made++
				name, version := rapid.SampledFrom([]string{"a", "b"}).Draw(t, "name"), fmt.Sprint(rapid.IntRange(1, 3).Draw(t, "version"))
				url := urlOf(name, version)
				if rapid.IntRange(0, 4).Draw(t, "wrong") == 0 {
					url = urlOf(name, "x")
					s.jar(url, name, "x", "")
				}
				s.pod(fmt.Sprintf("p%d", made), name, version, url)
			case 3:
				if len(s.pods) > 0 {
					s.delete(rapid.SampledFrom(s.pods).Draw(t, "pod").Name)
				}
			case 4:
				if len(s.pods) > 0 {
					s.gone[rapid.SampledFrom(s.pods).Draw(t, "pod").UID] = true
				}
			case 5:
				s.modules = nil // the base was restarted
			case 6:
				s.loseAnswers = !s.loseAnswers
			case 7:
				s.loseCommands = !s.loseCommands
			case 8:
				if len(s.pods) > 0 {
					p := rapid.SampledFrom(s.pods).Draw(t, "pod")
					url := p.Spec.Containers[0].Image + "?again"
					s.jars[url] = s.jars[p.Spec.Containers[0].Image]
					p.Spec.Containers[0].Image = url
				}
			}
			s.rounds(rapid.IntRange(0, 6).Draw(t, "rounds"))
		}
		s.loseAnswers, s.loseCommands = false, false
		s.rounds(400)
		if s.overlaps > 0 {
			t.Fatalf("%d commands overlapped: %v", s.overlaps, s.log)
		}
		s.converged(t)
	})
}

func (s *sim) converged(t *rapid.T) {
	done := len(s.log)
	s.rounds(20)
	// Back-offs of wrong jars may end in these rounds; nothing else may happen.
	if extra := len(s.log) - done; extra > 8 {
		t.Fatalf("%d commands after everything stopped: %v", extra, s.log[done:])
	}
	newest := map[string]*corev1.Pod{}
	wanted := map[tunnel.ModuleKey]bool{}
	for _, p := range s.pods {
		if p.DeletionTimestamp != nil || s.gone[p.UID] {
			t.Fatalf("pod %s is terminating and not gone; commands %v", p.Name, s.log)
		}
		for _, key := range Wanted(p) {
			wanted[key] = true
		}
		if n := newest[p.Spec.Containers[0].Name]; n == nil || !p.CreationTimestamp.Before(&n.CreationTimestamp) {
			newest[p.Spec.Containers[0].Name] = p
		}
	}
	for name, p := range newest {
		c := p.Spec.Containers[0]
		key := tunnel.ModuleKey{Name: name, Version: c.Env[0].Value}
		if s.shows(p.Name) == ReasonDuplicate {
			continue // an older pod of the same version holds it, though its jar is a wrong one
		}
		if s.jars[c.Image].key == key && !strings.Contains(s.serving(), key.String()) {
			t.Fatalf("%s does not serve, but %q; pod %s shows %s; commands %v", key, s.serving(), p.Name, s.shows(p.Name), s.log)
		}
	}
	for _, p := range s.pods {
		key := Wanted(p)[0]
		if s.shows(p.Name) == "Running" && !strings.Contains(s.serving(), key.String()) {
			t.Fatalf("pod %s is Running and %s does not serve", p.Name, key)
		}
	}
	for _, m := range s.modules {
		if !wanted[m.ModuleKey] && s.in.Memory.Installed[m.ModuleKey] {
			t.Fatalf("%s is installed, ours and wanted by nobody; commands %v", m.ModuleKey, s.log)
		}
	}
}
