package plan

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"module-controller/tunnel"
)

// A jar that takes minutes to fetch: the base lists nothing and refuses others as busy.
// That is no failure, nothing is installed twice, and the pod says that it takes long.
func TestASlowInstallIsWaitedFor(t *testing.T) {
	for name, answers := range map[string]bool{"nothing is told": true, "other answers are lost too": false} {
		t.Run(name, func(t *testing.T) {
			s := newSim(overMQTT)
			s.slow[urlOf("orders", "1")] = 5 * time.Minute
			s.loseAnswers = !answers
			s.pod("p", "orders", "1", urlOf("orders", "1"))
			told := s.during(2 * time.Minute)
			if answers && !strings.HasPrefix(s.message("p"), "installing orders:1 for ") {
				t.Errorf("after two minutes it says %q", s.message("p"))
			}
			s.loseAnswers = false
			for reason, n := range s.during(6 * time.Minute) {
				told[reason] += n
			}
			s.want(t, map[string]string{"p": "Running"}, "orders:1")
			if n := s.installs[module("orders:1")]; n != 1 || len(s.log) > 12 {
				t.Errorf("installed %d times by %d commands", n, len(s.log))
			}
			if answers && (told["InstallFailed"] != 0 || told["InstallSlow"] != 1) {
				t.Errorf("events %v", told)
			}
		})
	}
}

// As many installs as may be in flight are lost, or take long: the others go on, and so do
// they once the base hears again.
func TestLapsedInstallsHoldUpNoOther(t *testing.T) {
	for _, most := range []int{1, 3} {
		for name, begin := range map[string]func(*sim){
			"they are lost": func(s *sim) { s.loseCommands = true },
			"they are slow": func(s *sim) {
				for _, m := range []string{"a", "b", "c"}[:most] {
					s.slow[urlOf(m, "1")] = 10 * time.Minute
				}
			},
		} {
			t.Run(fmt.Sprintf("%s, of %d", name, most), func(t *testing.T) {
				s := newSim(overMQTT)
				s.most = most
				begin(s)
				for _, m := range []string{"a", "b", "c"}[:most] {
					s.pod(m, m, "1", urlOf(m, "1"))
				}
				s.rounds(2)
				s.loseCommands = false
				s.pod("next", "next", "1", urlOf("next", "1"))
				s.during(70 * time.Second)
				if s.shows("next") != "Running" {
					t.Errorf("another one shows %s after 70 s", s.shows("next"))
				}
				s.during(11 * time.Minute)
				for key, n := range s.installs {
					if n != 1 {
						t.Errorf("%s was installed %d times", key, n)
					}
				}
				if len(s.installs) != most+1 || len(s.log) > 1+14*most {
					t.Errorf("%d are installed by %d commands", len(s.installs), len(s.log))
				}
			})
		}
	}
}

// A base works on few installs at once, however long they take: it is to answer lists too.
func TestSlowInstallsDoNotUseABaseUp(t *testing.T) {
	s := newSim(overMQTT)
	for _, m := range []string{"a", "b", "c", "d", "e", "f"} {
		s.slow[urlOf(m, "1")] = 5 * time.Minute
		s.pod(m, m, "1", urlOf(m, "1"))
	}
	s.during(16 * time.Minute)
	if s.atWork != s.most+1 || len(s.installs) != 6 {
		t.Errorf("%d installs at once, and %d in all", s.atWork, len(s.installs))
	}
}

// A base that is busy for ever is believed for half an hour.
func TestABusyBaseIsNotBelievedForEver(t *testing.T) {
	s := newSim(overMQTT)
	s.slow[urlOf("orders", "1")] = 10 * time.Hour
	s.pod("p", "orders", "1", urlOf("orders", "1"))
	if told := s.during(slowLimit - time.Minute); told["InstallFailed"] != 0 {
		t.Errorf("events %v", told)
	}
	if told := s.during(10 * time.Minute); told["InstallFailed"] == 0 {
		t.Errorf("events %v", told)
	}
}

// A pod that is deleted while its module is fetched: what comes then is uninstalled, and a
// command that was lost holds nobody up.
func TestWhatIsFetchedForADeletedPodIsUninstalled(t *testing.T) {
	s := newSim(overMQTT)
	s.slow[urlOf("orders", "1")] = 5 * time.Minute
	s.pod("p", "orders", "1", urlOf("orders", "1"))
	s.rounds(3)
	s.delete("p")
	s.during(4 * time.Minute)
	if s.shows("p") == "gone" {
		t.Error("the pod is gone, and its module is still to come")
	}
	s.during(3 * time.Minute)
	s.want(t, map[string]string{"p": "gone"}, "")

	s.loseCommands = true
	s.pod("q", "bills", "1", urlOf("bills", "1"))
	s.rounds(2)
	s.loseCommands = false
	s.delete("q")
	s.during(75 * time.Second)
	s.want(t, map[string]string{"q": "gone"}, "")
}

// A main that never returns: told once, asked about at the usual rate, installed once; the
// pod that ends and the one that follows say what they wait for.
func TestAStartThatNeverEnds(t *testing.T) {
	s := newSim(overMQTT)
	s.hangs[urlOf("orders", "1")] = true
	s.pod("v1", "orders", "1", urlOf("orders", "1"))
	s.during(startLimit - 10*time.Second)
	s.want(t, map[string]string{"v1": "Installing"}, "")
	told := s.during(10 * time.Minute)
	const hung = "orders:1 has been starting for 10 min; only a restart of the base ends it"
	s.want(t, map[string]string{"v1": ReasonHung}, "")
	if told[ReasonHung] != 1 || s.message("v1") != hung {
		t.Errorf("events %v, it says %q", told, s.message("v1"))
	}
	if out := s.round(); out.Ask || !s.in.Memory.Attempts["orders"].Hung {
		t.Errorf("asks %v, attempt %+v", out.Ask, s.in.Memory.Attempts["orders"])
	}
	s.delete("v1")
	s.pod("v2", "orders", "2", urlOf("orders", "2"))
	s.during(2 * time.Minute)
	if s.leaves("v1") != hung || s.message("v2") != "orders:2 waits: "+hung {
		t.Errorf("v1: %q, v2: %q", s.leaves("v1"), s.message("v2"))
	}
	if n, tries := s.installs[module("orders:1")], strings.Count(strings.Join(s.log, ";"), "uninstall orders:1"); n != 1 || tries < 2 || tries > 6 {
		t.Errorf("installed %d times, uninstalls %d", n, tries)
	}
	s.modules[0].State = tunnel.Activated // it ended
	s.rounds(4)
	s.want(t, map[string]string{"v1": "gone"}, "orders:2")
	s.during(2 * time.Minute)
	s.want(t, map[string]string{"v2": "Running"}, "orders:2")
}

// Whoever takes a base over counts a start from when it began, as the base tells.
func TestSinceWhenAModuleStarts(t *testing.T) {
	const m = time.Minute
	for _, c := range []struct {
		name     string
		since    time.Duration // before noon, by the base's clock; 0 is not told
		ahead    time.Duration
		started  time.Duration // before noon; 0 is not known
		known    time.Duration // before noon; 0 is not
		sent     time.Duration // before noon; 0 is not
		again    bool
		want     time.Duration // before noon
		wantHung bool
	}{
		{name: "nobody tells"},
		{name: "the base tells", since: 2 * m, started: time.Hour, want: 2 * m},
		{name: "it has been starting for long", since: 6 * m, want: 6 * m, wantHung: true},
		{name: "by a slow clock", since: 36 * m, ahead: 30 * m, want: 6 * m, wantHung: true},
		{name: "by a fast clock", since: -28 * m, ahead: -30 * m, want: 2 * m},
		{name: "in the future", since: -m},
		{name: "before the base itself was started", since: 20 * m, started: 10 * m},
		{name: "it was seen before", since: 2 * m, known: 4 * m, want: 4 * m},
		{name: "it was sent", sent: 40 * time.Second, want: 40 * time.Second},
		{name: "it was sent, and began later", sent: 40 * time.Second, since: 10 * time.Second, want: 10 * time.Second},
		{name: "it was fetched for long", sent: 40 * time.Second, again: true},
		{name: "it was fetched for long, and the base tells", sent: 40 * time.Second, again: true, since: 3 * m, want: 3 * m},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase("orders:1 resolved").with(podFor("p", "orders:1"))
			if c.since != 0 {
				in.Seen.Modules[0].Since = noon.Add(-c.since)
			}
			in.Seen.Ahead = c.ahead
			if c.started > 0 {
				in.Seen.Started = noon.Add(-c.started)
			}
			if c.known > 0 {
				in.Memory.Starts = map[tunnel.ModuleKey]time.Time{module("orders:1"): noon.Add(-c.known)}
			}
			if c.sent > 0 {
				in = in.sent(install("orders:1"), c.sent, func(a *Attempt) {
					if c.again {
						a.Since = noon.Add(-10 * m)
					}
				})
			}
			out := Modules(in)
			if got := noon.Sub(out.Memory.Starts[module("orders:1")]); got != c.want {
				t.Errorf("it is starting for %s, want %s", got, c.want)
			}
			if hung := strings.HasPrefix(shownBy(out, "p"), ReasonHung); hung != c.wantHung {
				t.Errorf("it shows %q", shownBy(out, "p"))
			}
		})
	}
}

func TestABaseThatIsRestartedEndsAStart(t *testing.T) {
	s := newSim(overMQTT)
	s.hangs[urlOf("orders", "1")] = true
	s.pod("v1", "orders", "1", urlOf("orders", "1"))
	s.during(startLimit + time.Minute)
	s.hangs[urlOf("orders", "1")] = false
	s.modules, s.in.Seen.Modules, s.in.Seen.Started = nil, nil, s.now
	a := s.in.Memory.Attempts["orders"]
	a.Restarted = true
	s.in.Memory.Attempts["orders"] = a
	s.rounds(3)
	s.want(t, map[string]string{"v1": "Running"}, "orders:1")
}

func TestRoughly(t *testing.T) {
	for d, want := range map[time.Duration]string{
		time.Minute: "1 min", 3 * time.Minute: "2 min", 9 * time.Minute: "5 min", 59 * time.Minute: "30 min", 119 * time.Minute: "60 min", 5 * time.Hour: "5 hours",
	} {
		if got := roughly(d); got != want {
			t.Errorf("%s is %q, want %q", d, got, want)
		}
	}
}

// What a command goes on with of the one that was sent before it.
func TestNextAttempt(t *testing.T) {
	sent := func(c tunnel.Command) Attempt {
		return Attempt{Command: c, Why: "dead", Sent: noon, Refused: 1, Told: true, Answer: &tunnel.Answer{Outcome: tunnel.Busy}}
	}
	for _, c := range []struct {
		name   string
		last   Attempt
		next   tunnel.Command
		goesOn bool
		asks   bool
		why    string
	}{
		{name: "the first", next: install("orders:1")},
		{name: "an install again", last: sent(install("orders:1")), next: install("orders:1"), goesOn: true},
		{name: "an install of another version", last: sent(install("orders:1")), next: install("orders:2"), goesOn: true},
		{name: "an install, asked about", last: sent(install("orders:1")), next: uninstall("orders:1"), goesOn: true, asks: true, why: "dead"},
		{name: "an uninstall again", last: sent(uninstall("orders:1")), next: uninstall("orders:1"), goesOn: true, why: "dead"},
		{name: "an uninstall of another version", last: sent(uninstall("orders:1")), next: uninstall("orders:2")},
		{name: "an uninstall, then an install", last: sent(uninstall("orders:1")), next: install("orders:1")},
		{name: "a switch again", last: sent(switchTo("orders:1")), next: switchTo("orders:1"), goesOn: true},
		{name: "a switch, then an uninstall", last: sent(switchTo("orders:1")), next: uninstall("orders:1")},
	} {
		t.Run(c.name, func(t *testing.T) {
			at := noon.Add(time.Minute)
			is := c.last.Next(Planned{Command: c.next, Pod: "p"}, at, listed("orders:1 activated", "bills:1 activated"))
			want := Attempt{Command: c.next, Pod: "p", Why: c.why, Sent: at, Before: []tunnel.ModuleKey{module("orders:1"), module("bills:1")}}
			if c.next.Module == module("orders:1") {
				want.Was = listed("orders:1 activated")[0]
			}
			if c.goesOn {
				want.Since, want.Refused, want.Told, want.Fetches = noon, 2, true, c.last.Verb == tunnel.InstallModule
			}
			if d := cmp.Diff(want, is); d != "" || is.asks() != c.asks {
				t.Errorf("asks %v, attempt (-want +got):\n%s", is.asks(), d)
			}
		})
	}
	if second := sent(install("orders:1")).Next(Planned{Command: uninstall("orders:1")}, noon, nil); !second.Next(Planned{Command: uninstall("orders:1")}, noon, nil).asks() {
		t.Error("a second question asks nothing")
	}
}

// A replacement of the version that serves which was lost, or which the base has not got to,
// did nothing, though that version serves on.
func TestAReplacementThatDidNothingIsNotDone(t *testing.T) {
	const fixed = "file:///fixed.jar"
	otherwise := func(s *sim, p *corev1.Pod) {
		s.jar(fixed, "orders", "1", "")
		p.Spec.Containers[0].Image = fixed
		s.loseCommands = true
	}
	for name, replace := range map[string]func(*sim, *corev1.Pod){
		"from another URL": otherwise,
		"it waits": func(s *sim, p *corev1.Pod) {
			otherwise(s, p)
			s.loseCommands, s.slow[fixed] = false, 70*time.Second
		},
		"it is dead": func(s *sim, p *corev1.Pod) {
			s.probed = map[string]Probed{"orders": {Since: p.Status.ContainerStatuses[0].State.Running.StartedAt, Dead: "liveness probe failed: 503"}}
			s.loseCommands = true
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(overMQTT)
			p := s.pod("p", "orders", "1", urlOf("orders", "1"))
			s.rounds(4)
			replace(s, p)
			s.during(50 * time.Second)
			s.loseCommands = false
			before := s.installs[module("orders:1")]
			for s.installs[module("orders:1")] == before && s.now.Before(noon.Add(5*time.Minute)) {
				is := p.Status.ContainerStatuses[0]
				for _, e := range s.round().Events {
					if e.Reason == "Killing" {
						t.Errorf("it is told that it was stopped; commands %v", s.log)
					}
				}
				if is.Ready || is.ImageID != urlOf("orders", "1") {
					t.Fatalf("before it is done the pod shows ready %v, %s; commands %v", is.Ready, is.ImageID, s.log)
				}
			}
			s.during(2 * time.Minute)
			is := p.Status.ContainerStatuses[0]
			if n := s.installs[module("orders:1")]; n != 2 || !is.Ready || is.ImageID != p.Spec.Containers[0].Image {
				t.Errorf("installed %d times, ready %v, from %s; commands %v", n, is.Ready, is.ImageID, s.log)
			}
		})
	}
}

// A module that stops slowly: that is no failure, it is not asked for at once again, and
// after a minute it is told.
func TestASlowUninstallIsWaitedFor(t *testing.T) {
	for _, c := range []struct {
		takes time.Duration
		asked int // at the most
		slow  int
	}{
		{25 * time.Second, 1, 0}, {45 * time.Second, 5, 0}, {3 * time.Minute, 8, 1},
	} {
		t.Run(c.takes.String(), func(t *testing.T) {
			s := newSim(overHTTP)
			s.pod("p", "orders", "1", urlOf("orders", "1"))
			s.rounds(3)
			s.slowStops = c.takes
			s.delete("p")
			told := s.during(c.takes - 5*time.Second)
			if why := s.leaves("p"); (why == "orders:1 is being uninstalled for 2 min") != (c.slow > 0) || c.slow == 0 && why != "" {
				t.Errorf("it says %q", why)
			}
			for reason, n := range s.during(20 * time.Second) {
				told[reason] += n
			}
			s.want(t, map[string]string{"p": "gone"}, "")
			if tries := len(s.log) - 1; tries > c.asked || told["UninstallFailed"] > 0 || told["UninstallSlow"] != c.slow {
				t.Errorf("asked %d times, events %v", tries, told)
			}
		})
	}
}

// An uninstall that is lost is asked for again; one that nobody ever answers has failed at
// last.
func TestAnUninstallThatIsNotAnswered(t *testing.T) {
	for lost, failed := range map[time.Duration]bool{20 * time.Second: false, stopLimit + time.Minute: true} {
		s := newSim(overMQTT)
		s.pod("p", "orders", "1", urlOf("orders", "1"))
		s.rounds(3)
		s.loseCommands = true
		s.delete("p")
		told := s.during(lost)
		s.loseCommands = false
		s.during(90 * time.Second)
		s.want(t, map[string]string{"p": "gone"}, "")
		if (told["UninstallFailed"] == 1) != failed || told["UninstallFailed"] > 1 || len(s.log) > 9 {
			t.Errorf("lost for %s: events %v, commands %v", lost, told, s.log)
		}
	}
}

// A switch that takes long, or whose answer is lost, is no reason to take the version away
// that serves.
func TestASwitchThatIsNotAnsweredReplacesNothing(t *testing.T) {
	for name, begin := range map[string]func(*sim){
		"it is slow":         func(s *sim) { s.slowSwitches = 2 * time.Minute },
		"it is lost":         func(s *sim) { s.loseCommands = true },
		"its answer is lost": func(s *sim) { s.loseAnswers = true },
	} {
		t.Run(name, func(t *testing.T) {
			s := newSim(overHTTP)
			own(s.pod("v1", "orders", "1", urlOf("orders", "1")), "w", 1)
			s.rounds(3)
			own(s.pod("v2", "orders", "2", urlOf("orders", "2")), "w", 2)
			s.rounds(1)
			begin(s)
			told := s.during(stopLimit + 30*time.Second)
			if strings.Contains(strings.Join(s.log, " "), "replacing") {
				t.Errorf("commands %v", s.log)
			}
			if lost := s.loseCommands; (told["SwitchFailed"] == 1) != lost || (told["SwitchSlow"] == 1) != (lost || s.slowSwitches > 0) || (s.serving() == "orders:1") != lost {
				t.Errorf("events %v, %s serves", told, s.serving())
			}
			s.loseCommands, s.loseAnswers = false, false
			s.during(3 * time.Minute)
			s.want(t, map[string]string{"v2": "Running"}, "orders:2")
			if s.installs[module("orders:2")] != 1 {
				t.Errorf("installed %d times", s.installs[module("orders:2")])
			}
		})
	}
}
