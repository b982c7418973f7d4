package lifecycle

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/tunnel"
)

// at is a time after noon.
func at(d time.Duration) time.Time { return noon.Add(d) }

// modulesOf gives modules that serve.
func modulesOf(keys ...string) []tunnel.Module {
	var modules []tunnel.Module
	for _, key := range keys {
		modules = append(modules, tunnel.Module{ModuleKey: keyOf(key), State: tunnel.Activated})
	}
	return modules
}

func listOf(received, asked time.Time, keys ...string) tunnel.Report {
	return tunnel.Report{Base: id, Tunnel: "mqtt", Received: received, Asked: asked, Listed: true, Modules: modulesOf(keys...)}
}

func beatOf(received time.Time) tunnel.Heartbeat {
	return tunnel.Heartbeat{Base: id, Tunnel: "mqtt", Name: "shop", Version: "1", Cluster: "c", IP: "192.0.2.1", Received: received}
}

// A list or a health that comes late, or twice, tells nothing of what is. A base whose
// clock was set back is believed again after a minute, or once it restarts.
func TestLateMessagesAreNotBelieved(t *testing.T) {
	var m Mailbox
	for _, c := range []struct {
		when        string
		after       time.Duration // that it came
		stamp       time.Duration
		restarted   bool // a heartbeat said so just before
		wantIgnored bool
	}{
		{when: "at first", after: 1 * time.Second, stamp: 0},
		{when: "an hour old", after: 2 * time.Second, stamp: -time.Hour, wantIgnored: true},
		{when: "twice", after: 3 * time.Second, stamp: 0, wantIgnored: true},
		{when: "the next", after: 4 * time.Second, stamp: 10 * time.Second},
		{when: "one older than the next", after: 5 * time.Second, stamp: 9 * time.Second, wantIgnored: true},
		{when: "the clock is set back, but just now", after: 63 * time.Second, stamp: -time.Hour, wantIgnored: true},
		{when: "the clock was set back", after: 64 * time.Second, stamp: -time.Hour},
		{when: "newer by that clock", after: 65 * time.Second, stamp: -time.Hour + time.Second},
		{when: "older by that clock", after: 66 * time.Second, stamp: -2 * time.Hour, wantIgnored: true},
		{when: "it restarted elsewhere", after: 67 * time.Second, stamp: -3 * time.Hour, restarted: true},
	} {
		t.Run(c.when, func(t *testing.T) {
			if c.restarted {
				h := beatOf(at(c.after))
				h.Restarted = true
				m.Heartbeat(h)
			}
			list := listOf(at(c.after), time.Time{}, "orders:1")
			health := tunnel.Report{Base: id, Tunnel: "mqtt", Received: at(c.after), Health: &tunnel.Health{Uptime: time.Hour}}
			list.Stamp, health.Stamp = at(c.stamp), at(c.stamp)
			woke := []bool{m.Report(list), m.Report(health)}
			got := m.Take()
			if ignored := got.List == nil; ignored != c.wantIgnored {
				t.Errorf("the list is ignored: %v", ignored)
			}
			if ignored := got.Health == nil; ignored != c.wantIgnored {
				t.Errorf("the health is ignored: %v", ignored)
			}
			if slices.Contains(woke, c.wantIgnored) {
				t.Errorf("they wake a worker: %v", woke)
			}
			if !got.LastSeen.Equal(at(c.after)) || got.Answering < Answered {
				t.Errorf("last seen %s, answered %v: it lives, whatever it says", got.LastSeen, got.Answering)
			}
		})
	}
}

// A late list answers no request: the request is still owed.
func TestALateListAnswersNoRequest(t *testing.T) {
	var m Mailbox
	first := listOf(at(time.Second), time.Time{})
	first.Stamp = at(time.Second)
	m.Asked(noon)
	m.Report(first)
	m.Asked(at(2 * time.Second))
	again := first
	again.Received = at(3 * time.Second)
	m.Report(again)
	if got := m.Take(); got.Owed != 1 || !got.List.Asked.Equal(noon) {
		t.Errorf("%d lists are owed, the one that came was asked for at %s", got.Owed, got.List.Asked)
	}
}

// A heartbeat that comes late, or twice, describes no base.
func TestALateHeartbeatDescribesNothing(t *testing.T) {
	var m Mailbox
	b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
	for _, c := range []struct {
		when      string
		after     time.Duration // that it came
		version   string
		stamp     time.Time
		restarted bool
		want      string
	}{
		{"at first", 0, "1", noon, false, "1"},
		{"another", 10 * time.Second, "2", at(10 * time.Second), false, "2"},
		{"late", 12 * time.Second, "1", noon, false, "2"},
		{"twice", 12 * time.Second, "9", at(10 * time.Second), false, "2"},
		{"without a stamp", 13 * time.Second, "3", time.Time{}, false, "3"},
		{"clock set back, just now", 69 * time.Second, "4", at(-time.Hour), false, "3"},
		{"clock set back", 70 * time.Second, "4", at(-time.Hour), false, "4"},
		{"restarted", 71 * time.Second, "5", at(-2 * time.Hour), true, "5"},
	} {
		h := beatOf(at(c.after))
		h.Version, h.Stamp, h.Restarted = c.version, c.stamp, c.restarted
		m.Heartbeat(h)
		mail := m.Take()
		b.absorb(mail)
		if got := b.about.heartbeat.Version; got != c.want {
			t.Errorf("%s: it is %s, want %s", c.when, got, c.want)
		}
		if !mail.LastSeen.Equal(at(c.after)) || !b.about.lastSeen.Equal(at(c.after)) {
			t.Errorf("%s: last seen %s, want %s", c.when, mail.LastSeen, at(c.after))
		}
	}
}

// That a base restarted is known although its next heartbeat came before a worker looked.
func TestARestartOutlivesTheNextHeartbeat(t *testing.T) {
	var m Mailbox
	first, next := beatOf(noon), beatOf(at(time.Second))
	first.Restarted, next.Version = true, "2"
	m.Heartbeat(first)
	m.Heartbeat(next)
	got := m.Take()
	if got.Process != Restarted || got.Heartbeat.Version != "2" {
		t.Errorf("process %v, version %s", got.Process, got.Heartbeat.Version)
	}
	if m.Take().Process == Restarted {
		t.Error("it restarted only once")
	}
}

// Over MQTT a list answers the oldest request that may still be answered; over HTTP it
// tells which.
func TestListsAreMatchedToRequests(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		name      string
		asked     []time.Duration
		list      tunnel.Report
		wantAsked time.Time
		wantOwed  int
	}{
		{"nobody asked", nil, listOf(at(s), time.Time{}), time.Time{}, 0},
		{"one", []time.Duration{0}, listOf(at(s), time.Time{}), noon, 0},
		{"the oldest of two", []time.Duration{0, s}, listOf(at(2*s), time.Time{}), noon, 1},
		{"of two, one that is 30 s old may come", []time.Duration{0, s}, listOf(at(30*s), time.Time{}), noon, 1},
		{"of two, one that is older is lost", []time.Duration{0, s}, listOf(at(30*s+1), time.Time{}), at(s), 0},
		{"all are lost", []time.Duration{0, s}, listOf(at(32*s), time.Time{}), time.Time{}, 0},
		{"the only one is never lost", []time.Duration{0}, listOf(at(time.Hour), time.Time{}), noon, 0},
		{"over HTTP it tells", []time.Duration{0, 2 * s, 4 * s}, listOf(at(5*s), at(2*s)), at(2 * s), 1},
		{"over HTTP, asked for by somebody else", []time.Duration{2 * s}, listOf(at(5*s), at(s)), at(s), 1},
		{"over HTTP, the last", []time.Duration{0, 2 * s}, listOf(at(5*s), at(3*s)), at(3 * s), 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			var m Mailbox
			for _, d := range c.asked {
				m.Asked(at(d))
			}
			m.Report(c.list)
			got := m.Take()
			if !got.List.Asked.Equal(c.wantAsked) || got.Owed != c.wantOwed {
				t.Errorf("asked for at %s, %d owed; want %s, %d", got.List.Asked, got.Owed, c.wantAsked, c.wantOwed)
			}
		})
	}
}

// Lists that never come are remembered up to a bound, the newest requests of them; when
// the tunnel says that none will come, none is.
func TestRequestsAreBounded(t *testing.T) {
	var m Mailbox
	for i := range maxRequests + 3 {
		m.Asked(at(time.Duration(i) * time.Second))
	}
	if got := m.Take().Owed; got != maxRequests {
		t.Errorf("%d lists are owed, want %d", got, maxRequests)
	}
	m.Report(listOf(at(12*time.Second), time.Time{}))
	if got := m.Take(); !got.List.Asked.Equal(at(3*time.Second)) || got.Owed != maxRequests-1 {
		t.Errorf("the list was asked for at %s, %d are owed", got.List.Asked, got.Owed)
	}
	m.ForgetRequests()
	if got := m.Take().Owed; got != 0 {
		t.Errorf("%d lists are owed after none will come", got)
	}
}

// Of what came since the last look, the last of each kind counts: of lists the one asked
// for last, of answers the last for each module name.
func TestTheLastOfEachKindCounts(t *testing.T) {
	var m Mailbox
	answer := func(key, message string) tunnel.Report {
		return tunnel.Report{Tunnel: "mqtt", Received: noon, Answer: &tunnel.Answer{Module: keyOf(key), Message: message}}
	}
	m.Report(listOf(noon, at(2*time.Second), "orders:1"))
	if wake := m.Report(listOf(noon, at(time.Second))); !wake {
		t.Error("an older list wakes no worker")
	}
	for _, r := range []tunnel.Report{
		answer("orders:1", "first"), answer("orders:2", "second"), answer("stock:1", "third"),
		{Tunnel: "mqtt", Received: noon, Health: &tunnel.Health{CPUs: 1}}, {Tunnel: "mqtt", Received: noon, Health: &tunnel.Health{CPUs: 2}},
		{Tunnel: "mqtt", Received: at(time.Second), Features: &tunnel.Features{Switch: true}},
	} {
		if !m.Report(r) {
			t.Errorf("%+v wakes no worker", r)
		}
	}
	got := m.Take()
	if !got.List.Asked.Equal(at(2*time.Second)) || len(got.List.Modules) != 1 {
		t.Errorf("the list is %+v", got.List)
	}
	texts := map[string]string{}
	for name, r := range got.Answers {
		texts[name] = r.Answer.Message
	}
	if diff := cmp.Diff(map[string]string{"orders": "second", "stock": "third"}, texts); diff != "" {
		t.Errorf("answers (-want +got):\n%s", diff)
	}
	if got.Health.CPUs != 2 || !got.Features.Switch {
		t.Errorf("health %+v, features %+v", got.Health, got.Features)
	}
	if !got.LastSeen.Equal(at(time.Second)) {
		t.Errorf("last seen %s", got.LastSeen)
	}
}

// Of what was taken, only who contends is kept.
func TestTakeKeepsTheContestOnly(t *testing.T) {
	var m Mailbox
	m.Bind(incumbentOf(beatOf(noon)), time.Minute)
	other := beatOf(noon)
	other.IP = "192.0.2.9"
	m.Heartbeat(beatOf(noon))
	m.Heartbeat(other)
	m.Report(listOf(noon, time.Time{}))
	m.NodeDeleted("u")
	m.Asked(noon)
	taken := m.Take()
	if taken.NodeLost != "u" || taken.Heartbeat == nil || taken.List == nil || taken.Contest.Contender != other {
		t.Errorf("taken: %+v", taken)
	}
	want := Mail{Contest: taken.Contest, Owed: 1}
	if diff := cmp.Diff(want, m.Take(), cmp.AllowUnexported(Contest{})); diff != "" {
		t.Errorf("what is left (-want +got):\n%s", diff)
	}
}
