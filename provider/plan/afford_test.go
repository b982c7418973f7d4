package plan

import (
	"testing"
	"time"

	"module-controller/tunnel"
)

// attempts are what was sent for modules, by name.
func attempts(words map[string]func(*Attempt)) Memory {
	m := Memory{}.clone()
	for name, change := range words {
		a := Attempt{Command: install(name + ":1"), Sent: noon}
		change(&a)
		m.Attempts[name] = a
	}
	return m
}

func late(a *Attempt)      { a.Late = true }
func hung(a *Attempt)      { a.Late, a.Hung = true, true }
func restarted(a *Attempt) { a.Late, a.Restarted = true, true }
func isBusy(a *Attempt)    { a.Answer = &tunnel.Answer{Outcome: tunnel.Busy} }

// What counts as in flight, what the base may be at beside it, and what may be sent.
func TestAffordable(t *testing.T) {
	for _, c := range []struct {
		name           string
		attempts       map[string]func(*Attempt)
		most           int
		inFlight, late int
		full           bool
		planned        []tunnel.Command
		want           string
	}{
		{name: "nothing is in flight", most: 1, planned: []tunnel.Command{install("a:1"), install("b:1")}, want: "install a:1"},
		{name: "nothing may be", planned: []tunnel.Command{uninstall("a:1")}, full: true},
		{name: "others have it all", most: -1, planned: []tunnel.Command{uninstall("a:1")}, full: true},
		{name: "one is in flight", most: 2, attempts: map[string]func(*Attempt){"x": unanswered}, inFlight: 1,
			planned: []tunnel.Command{install("a:1"), install("b:1")}, want: "install a:1"},
		{name: "as many as may be", most: 1, attempts: map[string]func(*Attempt){"x": unanswered}, inFlight: 1, full: true, planned: []tunnel.Command{install("a:1")}},
		{name: "answered, or of a process that is gone", most: 1, attempts: map[string]func(*Attempt){"x": answered(tunnel.Done, ""), "y": restarted},
			planned: []tunnel.Command{install("a:1")}, want: "install a:1"},
		{name: "a start that never ends", most: 1, attempts: map[string]func(*Attempt){"x": hung, "y": hung}, planned: []tunnel.Command{install("a:1")}, want: "install a:1"},
		{name: "a late one makes room for one", most: 1, attempts: map[string]func(*Attempt){"x": late}, late: 1, planned: []tunnel.Command{install("a:1")}, want: "install a:1"},
		{name: "two do not", most: 1, attempts: map[string]func(*Attempt){"x": late, "y": isBusy}, late: 2, full: true, planned: []tunnel.Command{install("a:1")}},
		{name: "but are asked for", most: 1, attempts: map[string]func(*Attempt){"x": late, "y": isBusy}, late: 2, full: true,
			planned: []tunnel.Command{install("a:1"), install("y:1")}, want: "install y:1"},
		{name: "and keep back no uninstall", most: 1, attempts: map[string]func(*Attempt){"x": late, "y": late}, late: 2, full: true,
			planned: []tunnel.Command{uninstall("a:1")}, want: "uninstall a:1"},
		{name: "what is asked for again comes last", most: 2, attempts: map[string]func(*Attempt){"x": late}, late: 1,
			planned: []tunnel.Command{install("x:1"), uninstall("a:1"), install("b:1")}, want: "uninstall a:1, install b:1"},
		{name: "and counts once", most: 3, attempts: map[string]func(*Attempt){"x": late, "y": late, "z": late}, late: 3,
			planned: []tunnel.Command{install("x:1"), install("y:1"), install("a:1"), install("b:1")}, want: "install a:1, install x:1, install y:1"},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := attempts(c.attempts)
			if m.InFlight() != c.inFlight || m.late() != c.late || m.Full(c.most) != c.full {
				t.Errorf("%d in flight, %d late, full %v; want %d, %d, %v", m.InFlight(), m.late(), m.Full(c.most), c.inFlight, c.late, c.full)
			}
			var planned []Planned
			for _, p := range c.planned {
				planned = append(planned, Planned{Command: p})
			}
			if got := commands(Output{Commands: m.Affordable(planned, c.most)}); got != c.want {
				t.Errorf("sent %q, want %q", got, c.want)
			}
		})
	}
}

// What a base that is to be another's waits for.
func TestPending(t *testing.T) {
	for _, c := range []struct {
		name    string
		command tunnel.Command
		change  func(*Attempt)
		want    bool
	}{
		{"an install", install("a:1"), unanswered, true},
		{"a late install", install("a:1"), late, true},
		{"an uninstall", uninstall("a:1"), unanswered, true},
		{"a late uninstall", uninstall("a:1"), late, false},
		{"a late switch", switchTo("a:1"), late, false},
	} {
		if in := onBase().sent(c.command, time.Minute, c.change); in.Memory.Pending() != c.want {
			t.Errorf("%s is waited for: %v", c.name, !c.want)
		}
	}
	if (Memory{}).Pending() {
		t.Error("nothing is waited for")
	}
}
