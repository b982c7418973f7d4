package lifecycle

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// newTestBase is a base that has orders:1, as it was listed at noon, and a command of stock:1
// in flight.
func newTestBase() *Base {
	b := New(Config{}.Complete(), id, nodeName, beatOf(noon), nil, noon)
	list := listOf(noon, noon, "orders:1")
	b.absorb(Mail{LastSeen: noon, Answering: Answered, List: &list, Health: &tunnel.Health{Uptime: time.Hour}, Features: &tunnel.Features{Switch: true}})
	b.ledger.Attempts["stock"] = attemptOf(tunnel.InstallModule, "stock:1", "1-u1-1", noon)
	b.talk.listAsked, b.talk.healthAsked = noon, noon
	return b
}

// keys gives the modules that were listed.
func (b *Base) keys() []string {
	var keys []string
	for _, m := range b.seen.Modules {
		keys = append(keys, m.String())
	}
	return keys
}

// A list that was asked for before the one that is known is left out. One that nobody
// asked for tells what is there, but proves nothing of what was sent before it.
func TestWhichListsAreBelieved(t *testing.T) {
	for _, c := range []struct {
		name    string
		asked   time.Time
		partial bool
		want    []string
		listed  time.Time
	}{
		{"asked for later", at(time.Second), false, []string{"stock:1"}, at(time.Second)},
		{"asked for later, not whole", at(time.Second), true, []string{"stock:1"}, at(time.Second)},
		{"asked for at once", noon, false, []string{"stock:1"}, noon},
		{"asked for before", at(-time.Second), false, []string{"orders:1"}, noon},
		{"asked for before, not whole", at(-time.Second), true, []string{"orders:1"}, noon},
		{"nobody asked", time.Time{}, false, []string{"stock:1"}, noon},
		{"nobody asked, not whole", time.Time{}, true, []string{"stock:1"}, noon},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestBase()
			list := listOf(at(2*time.Second), c.asked, "stock:1")
			list.Partial = c.partial
			b.absorb(Mail{LastSeen: at(2 * time.Second), List: &list})
			if diff := cmp.Diff(c.want, b.keys()); diff != "" {
				t.Errorf("modules (-want +got):\n%s", diff)
			}
			taken := c.want[0] == "stock:1"
			if !b.seen.Listed.Equal(c.listed) || b.seen.Partial != (c.partial && taken) {
				t.Errorf("listed %s, partial %v", b.seen.Listed, b.seen.Partial)
			}
		})
	}
}

// A list tells how far our clock is ahead of the base's, where the base tells its own.
func TestAListTellsTheBasesClock(t *testing.T) {
	b := newTestBase()
	for i, c := range []struct {
		stamp time.Time
		want  time.Duration
	}{{at(-time.Hour), time.Hour + time.Second}, {at(time.Minute), 2*time.Second - time.Minute}, {time.Time{}, 0}} {
		received := at(time.Duration(i+1) * time.Second)
		list := listOf(received, received, "stock:1")
		list.Stamp = c.stamp
		b.absorb(Mail{LastSeen: received, List: &list})
		if b.seen.Ahead != c.want {
			t.Errorf("list %d: our clock is %s ahead, want %s", i, b.seen.Ahead, c.want)
		}
	}
}

// A restart ends what was known of the process before, by the answers that came with it
// too; which list is of which process is not known, so none is believed.
func TestARestartForgetsTheProcessBefore(t *testing.T) {
	b := newTestBase()
	list := listOf(at(5*time.Second), at(4*time.Second), "orders:1")
	h := beatOf(at(5 * time.Second))
	b.absorb(Mail{
		LastSeen: at(5 * time.Second), Process: Restarted, Heartbeat: &h, List: &list, Health: &tunnel.Health{Uptime: 2 * time.Hour},
		Answers: map[string]tunnel.Report{"stock": {Received: at(time.Second), Answer: &tunnel.Answer{Verb: tunnel.InstallModule, Module: keyOf("stock:1")}}},
	})
	want := seen{Seen: plan.Seen{Started: at(5 * time.Second), Features: tunnel.Features{Switch: true}}, answered: noon}
	if diff := cmp.Diff(want, b.seen, cmp.AllowUnexported(seen{}, metaspace{})); diff != "" {
		t.Errorf("known of the new process (-want +got):\n%s", diff)
	}
	if a := b.ledger.Attempts["stock"]; !a.Restarted || a.Answer == nil {
		t.Errorf("the command of before the restart: %+v", a)
	}
	if !b.about.heartbeat.Restarted {
		t.Error("its tunnel is not to be told")
	}
	if now := promptly(b.since); b.listDue(Facts{}, urgent) != now || b.healthDue(urgent) != now || !b.talk.stirs {
		t.Error("it is not asked anew at once")
	}
	b.absorb(Mail{LastSeen: at(6 * time.Second), List: &list})
	if diff := cmp.Diff([]string{"orders:1"}, b.keys()); diff != "" {
		t.Errorf("a list after it (-want +got):\n%s", diff)
	}
}

// A process that runs for less long than before is another one.
func TestARestartIsSeenByTheUptime(t *testing.T) {
	for _, c := range []struct {
		name      string
		uptime    time.Duration
		restarted bool
		started   time.Time
	}{
		{"longer", time.Hour + time.Minute, false, at(-time.Hour)},
		{"as long: rounded", time.Hour, false, at(time.Minute - time.Hour)},
		{"less long", time.Second, true, at(time.Minute - time.Second)},
		{"not told", 0, false, at(-time.Hour)},
		{"nonsense", -time.Second, false, at(-time.Hour)},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestBase()
			b.absorb(Mail{LastSeen: at(time.Minute), Health: &tunnel.Health{Uptime: c.uptime}})
			if got := b.ledger.Attempts["stock"].Restarted; got != c.restarted || (b.keys() == nil) != c.restarted {
				t.Errorf("restarted %v, modules %v", got, b.keys())
			}
			if !b.seen.Started.Equal(c.started) {
				t.Errorf("started %s, want %s", b.seen.Started, c.started)
			}
		})
	}
	b := newTestBase()
	b.absorb(Mail{LastSeen: at(time.Minute), Health: &tunnel.Health{}})
	b.absorb(Mail{LastSeen: at(2 * time.Minute), Health: &tunnel.Health{Uptime: time.Second}})
	if b.ledger.Attempts["stock"].Restarted {
		t.Error("an uptime that was not told is none to fall below")
	}
}

// A mail that was filled before the mailbox knew who the incumbent is may have another's
// word: none of it becomes the base's.
func TestAnothersWordIsNotAbsorbed(t *testing.T) {
	for name, change := range map[string]func(*tunnel.Heartbeat){
		"another name":     func(h *tunnel.Heartbeat) { h.Name = "bank" },
		"another cluster":  func(h *tunnel.Heartbeat) { h.Cluster = "d" },
		"another address":  func(h *tunnel.Heartbeat) { h.IP = "192.0.2.9" },
		"another host":     func(h *tunnel.Heartbeat) { h.Hostname = "h2" },
		"another tunnel":   func(h *tunnel.Heartbeat) { h.Tunnel = "http" },
		"another port":     func(h *tunnel.Heartbeat) { h.Port = 1238 },
		"another workload": func(h *tunnel.Heartbeat) { h.Sender = tunnel.Sender{Bound: true, Workload: "ns/b/2"} },
	} {
		b := newTestBase()
		b.about.heartbeat.Hostname, b.about.heartbeat.Sender = "h1", tunnel.Sender{Bound: true, Workload: "ns/b/1"}
		was := b.about.heartbeat
		h := was
		change(&h)
		b.absorb(Mail{LastSeen: at(time.Second), Heartbeat: &h})
		if diff := cmp.Diff(was, b.about.heartbeat); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
	unknown := New(Config{}.Complete(), id, nodeName, tunnel.Heartbeat{Base: id}, nil, noon)
	h := beatOf(noon)
	if unknown.absorb(Mail{LastSeen: noon, Heartbeat: &h}); unknown.about.heartbeat.Name != "shop" {
		t.Error("of one that nothing is known of, the first description is another's")
	}
}

// A restart that was heard while the base could not be followed anew is told to its tunnel
// when it can, whatever the base said since.
func TestARestartHeardWhileSuspendedIsNotLost(t *testing.T) {
	s := told(t, served, []string{"2s suspend", "3s heartbeat shop restarted=yes", "3s turn", "4s heartbeat shop", "4s turn", "5s claim 1"})
	if f := s.turnAt(5 * time.Second).Talk.Follow; f == nil || !f.Restarted {
		t.Errorf("its tunnel is told %+v", f)
	}
	if f := s.turnAt(6 * time.Second).Talk.Follow; f != nil {
		t.Errorf("its tunnel is told again: %+v", f)
	}
}

// Any report is an answer; when the base was last seen is kept where nothing came.
func TestWhatAMessageProves(t *testing.T) {
	b := newTestBase()
	b.talk.unanswered = noon
	b.absorb(Mail{LastSeen: at(time.Second), Beat: at(time.Second), Owed: 2})
	if b.talk.unanswered.IsZero() || b.talk.owed != 2 || !b.about.beat.Equal(at(time.Second)) {
		t.Errorf("after a heartbeat: %+v, its beat was %s", b.talk, b.about.beat)
	}
	b.absorb(Mail{LastSeen: at(2 * time.Second), Answering: Answered})
	b.absorb(Mail{})
	if !b.talk.unanswered.IsZero() || b.talk.owed != 0 {
		t.Errorf("after an answer: %+v", b.talk)
	}
	if !b.about.beat.Equal(at(time.Second)) || !b.about.lastSeen.Equal(at(2*time.Second)) {
		t.Errorf("last seen %s, its beat was %s", b.about.lastSeen, b.about.beat)
	}
}

// A base that is served anew is asked and judged anew; its Node tells what whoever served
// it before knew, and what it said of itself lately is kept.
func TestWhatBeginsAnew(t *testing.T) {
	node := told(t, served, []string{"1.5s pod u1 orders:1", "1.5s turn", "1.6s list orders:1", "7s turn"}).facts.Node
	for _, c := range []struct {
		name     string
		lastSeen time.Duration // before the claim
		kept     bool
	}{
		{"heard just before", 40*time.Second - 1, true},
		{"not heard lately", 40 * time.Second, false},
	} {
		b := newTestBase()
		b.ledger.Installed[keyOf("hearsay:1")] = true
		b.about.heartbeat.Version, b.about.lastSeen = "5", at(time.Hour-c.lastSeen)
		in := valid(3, 1)
		in.Now, in.Node, in.Noted = at(time.Hour), node, keysOf("orders:1")
		do := b.Turn(in)
		if !do.Begin || b.Phase() != Serving || b.epoch != 3 || !b.since.Equal(at(time.Hour)) {
			t.Errorf("%s: begins %v, %s", c.name, do.Begin, b.Phase())
		}
		if diff := cmp.Diff(map[tunnel.ModuleKey]bool{keyOf("orders:1"): true}, b.ledger.Installed); diff != "" {
			t.Errorf("%s: installed (-want +got):\n%s", c.name, diff)
		}
		if len(b.ledger.Attempts)+len(b.seen.Modules) > 0 || b.seen.health != nil {
			t.Errorf("%s: hearsay is kept: %+v, %+v", c.name, b.seen, b.ledger)
		}
		if kept := !b.about.lastSeen.IsZero(); kept != c.kept || (b.about.heartbeat.Version == "5") != c.kept {
			t.Errorf("%s: kept %v, version %s", c.name, kept, b.about.heartbeat.Version)
		}
	}
}

// A Node that is not a base's tells nothing of one, but that it is there.
func TestANodeThatIsNotABases(t *testing.T) {
	b := newTestBase()
	b.ledger.Installed[keyOf("orders:1")] = true
	in := valid(3, 1)
	in.Now, in.Node = at(time.Second), nodeOf("5", "u")
	b.Turn(in)
	if b.about.heartbeat.Name != "shop" || !b.ledger.Installed[keyOf("orders:1")] {
		t.Errorf("it is %+v, with %v", b.about.heartbeat, b.ledger.Installed)
	}
}
