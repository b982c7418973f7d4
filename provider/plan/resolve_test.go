package plan

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/tunnel"
)

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

// What each ending leaves behind: whether the command is still an attempt, whether the
// list is asked for, and what is remembered and told of it.
func TestResolveRemembersHowACommandEnded(t *testing.T) {
	mismatch := "asked for orders:1, but the jar at file:///orders-1.jar is orders:9: set BIZ_VERSION to 9, or correct the image"
	for _, c := range []struct {
		name      string
		list      []string
		command   tunnel.Command
		change    func(*Attempt)
		left, ask bool
		failure   Failure // its At is noon
		installed bool
		plain     bool
		events    string
		ended     Result // for who counts; empty while it is not known
	}{
		{name: "installed, unanswered", ended: Done, list: []string{"orders:1 activated"}, command: install("orders:1"), change: unanswered, installed: true},
		{name: "not yet listed after its answer", list: []string{"orders:1 resolved"}, command: install("orders:1"), change: answered(tunnel.Done, ""), left: true, ask: true},
		{name: "failed", ended: Failed, command: install("orders:1"), change: answered(tunnel.Failed, "no stock\ntoday"),
			failure: Failure{Purpose: from("file:///orders-1.jar"), Count: 1, NotBefore: noon.Add(10 * time.Second), Message: "no stock today"},
			events:  "InstallFailed: orders:1: no stock today"},
		{name: "failed without a reason", ended: Failed, command: install("orders:1"), change: answered(tunnel.Failed, ""),
			failure: Failure{Purpose: from("file:///orders-1.jar"), Count: 1, NotBefore: noon.Add(10 * time.Second), Message: "the base gave no reason"},
			events:  "InstallFailed: orders:1: the base gave no reason"},
		{name: "success is not believed", ended: Failed, command: install("orders:1"), change: answered(tunnel.Done, ""),
			failure: Failure{Purpose: from("file:///orders-1.jar"), Count: 1, NotBefore: noon.Add(10 * time.Second), Message: "the base answered success, but its list does not show it: orders:1"},
			events:  "InstallFailed: orders:1: the base answered success, but its list does not show it: orders:1"},
		{name: "another jar", ended: Failed, list: []string{"orders:9 activated"}, command: install("orders:1"), change: answered(tunnel.Done, ""),
			failure: Failure{Purpose: from("file:///orders-1.jar"), Count: 1, NotBefore: noon.Add(time.Hour), Message: mismatch, Mismatch: module("orders:9")},
			events:  "VersionMismatch: " + mismatch},
		{name: "nothing is replaced", ended: Done, list: []string{"orders:1 activated"}, command: install("orders:1", replacing), change: answered(tunnel.Repeated, "it is there"),
			plain: true},
		{name: "uninstalled", ended: Done, command: uninstall("orders:1"), change: unanswered},
		{name: "not uninstalled", ended: Failed, list: []string{"orders:1 activated"}, command: uninstall("orders:1"), change: answered(tunnel.Failed, "busy threads"),
			failure: Failure{Purpose: ofUninstall, Count: 1, NotBefore: noon.Add(10 * time.Second), Message: "busy threads"},
			events:  "UninstallFailed: orders:1: busy threads"},
		{name: "switched", ended: Done, list: []string{"orders:1 activated"}, command: switchTo("orders:1"), change: unanswered},
		{name: "not switched", ended: Failed, list: []string{"orders:1 deactivated"}, command: switchTo("orders:1"), change: answered(tunnel.Unsupported, "no such command"),
			failure: Failure{Purpose: ofSwitch, Count: 1, NotBefore: noon.Add(10 * time.Second), Message: "no such command"},
			events:  "SwitchFailed: orders:1: no such command"},
		{name: "the base restarted", ended: Lost, command: install("orders:1"), change: func(a *Attempt) { a.Restarted = true }},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.failure != (Failure{}) {
				c.failure.At = noon
			}
			p := newPlanner(onBase(c.list...).sent(c.command, 2*time.Second, c.change))
			resolver{p}.resolveAll()
			_, left := p.out.Memory.Attempts["orders"]
			if left != c.left || p.out.Ask != c.ask {
				t.Errorf("left %v, asks %v; want %v, %v", left, p.out.Ask, c.left, c.ask)
			}
			if isBusy := p.demand.name("orders").work == busy; isBusy != c.left {
				t.Errorf("the name is busy: %v, want %v", isBusy, c.left)
			}
			if d := cmp.Diff(c.failure, p.out.Memory.Failures[module("orders:1")]); d != "" {
				t.Errorf("failure (-want +got):\n%s", d)
			}
			if got := p.out.Memory.Installed[module("orders:1")]; got != c.installed {
				t.Errorf("installed %v", got)
			}
			var want, ended []Result
			if c.ended != "" {
				want = []Result{c.ended}
			}
			for _, e := range p.out.Ended {
				if e.Verb != c.command.Verb || e.Module != c.command.Module || e.Sent.IsZero() {
					t.Errorf("%v of %v, sent at %v, has ended", e.Verb, e.Module, e.Sent)
				}
				ended = append(ended, e.Result)
			}
			if d := cmp.Diff(want, ended); d != "" {
				t.Errorf("ended (-want +got):\n%s", d)
			}
			if p.out.Memory.Plain != c.plain {
				t.Errorf("replaces nothing: %v", p.out.Memory.Plain)
			}
			if got := events(p.out.Output); got != c.events {
				t.Errorf("events %q, want %q", got, c.events)
			}
		})
	}
}

// Until when an answer is waited for, and what is said when none came.
func TestDeadline(t *testing.T) {
	for _, c := range []struct {
		name    string
		command tunnel.Command
		linkUp  time.Duration // before noon
		want    time.Duration // after it was sent, 100 s before noon
	}{
		{"an install", install("orders:1"), time.Hour, 60 * time.Second},
		{"an uninstall is quick", uninstall("orders:1"), time.Hour, 15 * time.Second},
		{"a switch is quick", switchTo("orders:1"), time.Hour, 15 * time.Second},
		{"an install before the link came up may be lost", install("orders:1"), 80 * time.Second, 35 * time.Second},
		{"but is given no more time", install("orders:1"), 10 * time.Second, 60 * time.Second},
		{"nor is an uninstall", uninstall("orders:1"), 80 * time.Second, 15 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase().sent(c.command, 100*time.Second)
			in.LinkSince = noon.Add(-c.linkUp)
			p := newPlanner(in)
			a := in.Memory.Attempts["orders"]
			if got := (resolver{p}).deadline(a).Sub(a.Sent); got != c.want {
				t.Errorf("deadline after %s, want %s", got, c.want)
			}
		})
	}
}

func TestAnUnansweredCommandIsResolvedByALaterList(t *testing.T) {
	for _, c := range []struct {
		name    string
		list    []string
		sent    time.Duration
		listed  time.Duration // after noon
		partial bool
		left    bool
		ask     bool
		next    time.Time
		again   time.Duration // the first one was sent so long before noon
		refused int
		want    string // commands
		message string
	}{
		{name: "before its deadline", sent: 20 * time.Second, left: true, next: noon.Add(40 * time.Second)},
		{name: "the list is older than the deadline", sent: 61 * time.Second, listed: -2 * time.Second, left: true, ask: true},
		{name: "the base works on it still", list: []string{"orders:1 unresolved"}, sent: 61 * time.Second, left: true, ask: true},
		{name: "it may be there", sent: 61 * time.Second, partial: true, left: true, ask: true},
		{name: "it is not there: it is asked for once more", sent: 61 * time.Second, left: true, want: "install orders:1 for p"},
		{name: "it was asked for once more", sent: 61 * time.Second, again: 122 * time.Second, message: "the base gave no answer within 1m0s"},
		{name: "it was, and the base was busy then", sent: 61 * time.Second, again: 300 * time.Second, refused: 1, left: true, want: "install orders:1 for p"},
		{name: "it was for too long", sent: 61 * time.Second, again: slowLimit, refused: 9, message: "the base gave no answer within 1m0s"},
		{name: "it is broken", list: []string{"orders:1 broken"}, sent: 61 * time.Second, message: "the base gave no answer within 1m0s"},
		{name: "it serves", list: []string{"orders:1 activated"}, sent: 61 * time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(podFor("p", "orders:1")).sent(install("orders:1"), c.sent, func(a *Attempt) {
				if a.Refused = c.refused; c.again > 0 {
					a.Since = noon.Add(-c.again)
				}
			})
			in.Seen.Listed, in.Seen.Partial = noon.Add(c.listed), c.partial
			out := Modules(in)
			_, left := out.Memory.Attempts["orders"]
			if left != c.left || out.Ask != c.ask || !out.Next.Equal(c.next) && !c.next.IsZero() {
				t.Errorf("left %v, asks %v, next %s; want %v, %v, %s", left, out.Ask, out.Next, c.left, c.ask, c.next)
			}
			if got := commands(out); got != c.want {
				t.Errorf("commands %q, want %q", got, c.want)
			}
			if got := out.Memory.Failures[module("orders:1")].Message; got != c.message {
				t.Errorf("failure %q, want %q", got, c.message)
			}
		})
	}
}

// Whether a replacing install without an answer was done, by what was listed when it was
// sent and what is now.
func TestReplaced(t *testing.T) {
	serves := func(since time.Time) tunnel.Module {
		return tunnel.Module{ModuleKey: module("orders:1"), State: tunnel.Activated, Since: since}
	}
	off := tunnel.Module{ModuleKey: module("orders:1"), State: tunnel.Deactivated, Since: noon}
	for _, c := range []struct {
		name    string
		was, is tunnel.Module
		sent    time.Duration // before noon
		change  func(*Attempt)
		want    ending
	}{
		{"it was not there", tunnel.Module{}, serves(noon), 2 * time.Second, unanswered, succeeded},
		{"nor does the base tell since when", tunnel.Module{}, serves(time.Time{}), 2 * time.Second, unanswered, succeeded},
		{"it did not serve", off, serves(noon), 2 * time.Second, unanswered, succeeded},
		{"it does not serve", serves(noon), off, 61 * time.Second, unanswered, lapsed},
		{"it serves as before, and may be answered", serves(noon), serves(noon.Local()), 59 * time.Second, unanswered, underWay},
		{"it serves as before", serves(noon), serves(noon.Local()), 61 * time.Second, unanswered, lapsed},
		{"it began anew", serves(noon), serves(noon.Add(time.Millisecond)), 2 * time.Second, unanswered, succeeded},
		{"the base's clock was set back meanwhile", serves(noon), serves(noon.Add(-time.Hour)), 2 * time.Second, unanswered, succeeded},
		{"the base does not tell since when, and may answer", serves(time.Time{}), serves(time.Time{}), 59 * time.Second, unanswered, underWay},
		{"the base does not tell since when", serves(time.Time{}), serves(time.Time{}), 61 * time.Second, unanswered, succeeded},
		{"it failed", serves(noon), serves(noon.Add(time.Millisecond)), 2 * time.Second, answered(tunnel.Failed, ""), failed},
		{"it was refused, for another's command", serves(noon), serves(noon.Add(time.Millisecond)), 10 * time.Second, func(a *Attempt) {
			isBusy(a)
			a.Answered = noon.Add(-9 * time.Second)
		}, lapsed},
		{"it was refused, for one that it repeats", serves(noon), serves(noon.Add(time.Millisecond)), 10 * time.Second, func(a *Attempt) {
			isBusy(a)
			a.Answered, a.Since = noon.Add(-9*time.Second), noon.Add(-time.Minute)
		}, succeeded},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase().with(podFor("p", "orders:1")).sent(install("orders:1", replacing), c.sent, func(a *Attempt) { a.Was = c.was }, c.change)
			in.Seen.Modules = []tunnel.Module{c.is}
			p := newPlanner(in)
			if is := (resolver{p}).endingOf(in.Memory.Attempts["orders"]); is != c.want {
				t.Errorf("it is %s, want %s", is, c.want)
			}
		})
	}
}

// A base that was busy is left alone for a moment, and then the list tells whether it is
// still.
func TestABusyBaseIsTriedAgain(t *testing.T) {
	in := onBase().with(podFor("p", "orders:1")).sent(install("orders:1"), 10*time.Second, answered(tunnel.Busy, ""))
	out := Modules(in)
	if until := noon.Add(-time.Second).Add(busyPause); commands(out) != "" || !out.Next.Equal(until) {
		t.Errorf("commands %q, next %s, want none before %s", commands(out), out.Next, until)
	}
	in.Now, in.Seen.Listed = noon.Add(time.Second), noon.Add(-2*time.Second)
	if out := Modules(in); commands(out) != "" || !out.Ask {
		t.Errorf("commands %q, asks %v: the list is older than the answer", commands(out), out.Ask)
	}
	in.Seen.Listed = noon
	if out := Modules(in); commands(out) != "install orders:1 for p" || len(out.Memory.Failures) > 0 {
		t.Errorf("commands %q, failures %v", commands(out), out.Memory.Failures)
	}
}

// What a jar turned out to be, where it is not what was asked for.
func TestTurnedOut(t *testing.T) {
	for _, c := range []struct {
		name   string
		list   []string
		before []string
		said   string
		pods   []Pod
		ours   string
		want   string
	}{
		{name: "nothing is new"},
		{name: "the base says it", said: "bills:3", list: []string{"orders:9 activated"}, want: "bills:3"},
		{name: "the one that is new", list: []string{"bills:3 activated", "stock:1 activated"}, before: []string{"stock:1"}, want: "bills:3"},
		{name: "of several the one of that name", list: []string{"bills:3 activated", "orders:9 activated"}, want: "orders:9"},
		{name: "several of that name", list: []string{"orders:8 activated", "orders:9 activated"}},
		{name: "several of other names", list: []string{"bills:3 activated", "stock:1 activated"}},
		{name: "not one that a pod asks for", list: []string{"bills:3 activated"}, pods: []Pod{podFor("b", "bills:3")}},
		{name: "not one that a pod asked for", list: []string{"bills:3 activated"}, pods: []Pod{podFor("b", "bills:3", terminating)}},
		{name: "not one that was installed", list: []string{"bills:3 activated"}, ours: "bills:3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			in := onBase(c.list...).with(c.pods...)
			in.Memory.Installed[module(c.ours)] = true
			a := Attempt{Command: install("orders:1"), Answer: &tunnel.Answer{Outcome: tunnel.Done}}
			if c.said != "" {
				a.Answer.Installed = module(c.said)
			}
			for _, b := range c.before {
				a.Before = append(a.Before, module(b))
			}
			if got := (resolver{newPlanner(in)}).turnedOut(a); got != module(c.want) {
				t.Errorf("it is %q, want %q", got, c.want)
			}
		})
	}
}
