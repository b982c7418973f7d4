package lifecycle

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"module-controller/tunnel"
)

const within = 40 * time.Second

// hears has a mailbox bound to a base at 192.0.2.1 hear heartbeats, 5 s apart.
func hears(heard ...tunnel.Heartbeat) (*Mailbox, time.Time) {
	m, now := &Mailbox{}, noon
	m.Bind(incumbentOf(beatOf(noon)), within)
	for _, h := range heard {
		now = now.Add(5 * time.Second)
		h.Received = now
		m.Heartbeat(h)
	}
	return m, now
}

// beatWith is a heartbeat of the base at 192.0.2.1, but for the change.
func beatWith(change func(*tunnel.Heartbeat)) tunnel.Heartbeat {
	h := beatOf(noon)
	change(&h)
	return h
}

// Two live bases on the same topics are noticed by how often one is heard again, whoever
// is heard in between. One that moved, a late message, and whoever is reached elsewhere
// make no conflict.
func TestWhatIsAConflict(t *testing.T) {
	a := beatOf(noon)
	b := beatWith(func(h *tunnel.Heartbeat) { h.IP = "192.0.2.2" })
	third := beatWith(func(h *tunnel.Heartbeat) { h.IP = "192.0.2.3" })
	host := beatWith(func(h *tunnel.Heartbeat) { h.Hostname = "other" })
	named := beatWith(func(h *tunnel.Heartbeat) { h.Hostname = "h" })
	bank := beatWith(func(h *tunnel.Heartbeat) { h.Name = "bank" })
	newer := beatWith(func(h *tunnel.Heartbeat) { h.Version = "2" })
	http := beatWith(func(h *tunnel.Heartbeat) { h.Tunnel, h.Port = "http", 1238 })
	for _, c := range []struct {
		name     string
		heard    []tunnel.Heartbeat
		conflict bool
	}{
		{"none", nil, false},
		{"one", []tunnel.Heartbeat{a, a, a, a}, false},
		{"gone, another came", []tunnel.Heartbeat{a, a, b, b}, false},
		{"one came late", []tunnel.Heartbeat{a, b, a, a, a}, false},
		{"two came late", []tunnel.Heartbeat{a, b, a, b, a, a}, false},
		{"two", []tunnel.Heartbeat{b, a, b, a, b, a}, true},
		{"two, each heard more than once", []tunnel.Heartbeat{b, b, a, a, b, b, a, a, b, a}, true},
		{"three in turns", []tunnel.Heartbeat{b, third, a, b, third, a, b, third, a}, true},
		{"two hosts with one address", []tunnel.Heartbeat{named, host, named, host, named, host, named}, false}, // the host was not known
		{"two applications", []tunnel.Heartbeat{bank, a, bank, a, bank, a}, true},
		{"two versions: an update", []tunnel.Heartbeat{a, newer, a, newer, a, newer, a}, false},
		{"somebody over another tunnel", []tunnel.Heartbeat{a, http, a, http, a, http, a, http, a}, false},
		{"too seldom", []tunnel.Heartbeat{b, a, a, a, a, a, a, a, a, a, b, a, a, a, a, a, a, a, a, a, b, a}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			m, now := hears(c.heard...)
			contest := m.Take().Contest
			until := contest.conflict(now, within)
			if !until.IsZero() != c.conflict {
				t.Errorf("held until %s, want a conflict: %v", until, c.conflict)
			}
			if c.conflict && !until.Equal(now.Add(within)) {
				t.Errorf("held until %s", until)
			}
			if until := contest.conflict(now.Add(within), within); !until.IsZero() {
				t.Errorf("still a conflict long after, until %s", until)
			}
		})
	}
}

// A host name that is known tells two hosts apart on shared topics.
func TestTwoHostsWithOneAddress(t *testing.T) {
	one := beatWith(func(h *tunnel.Heartbeat) { h.Hostname = "one" })
	two := beatWith(func(h *tunnel.Heartbeat) { h.Hostname = "two" })
	if incumbentOf(one).Is(two) || !incumbentOf(one).Is(one) {
		t.Error("on topics that both share they are one")
	}
	one.Port, two.Port = 1238, 1238
	if !incumbentOf(one).Is(two) {
		t.Error("at one address that is dialed they are two")
	}
}

// However many others speak, with another name each, none is hidden and none makes more
// of itself: the first stays, workers are woken now and then, and a conflict is noticed.
func TestAThousandContendersAreAsOne(t *testing.T) {
	m := &Mailbox{}
	m.Bind(incumbentOf(beatOf(noon)), within)
	m.Heartbeat(beatOf(noon))
	m.Take()
	m.Settle(nil)
	wakes := 0
	for i := range 1000 {
		h := beatWith(func(h *tunnel.Heartbeat) { h.IP, h.Hostname = "192.0.2.66", fmt.Sprint("liar-", i) })
		h.Received = at(time.Duration(i) * 20 * time.Millisecond)
		if m.Heartbeat(h) {
			wakes++
		}
		if i%250 == 249 {
			own := beatOf(h.Received)
			m.Heartbeat(own)
		}
	}
	contest := m.Take().Contest
	if got := contest.Contender.Hostname; got != "liar-0" {
		t.Errorf("it contends with %s", got)
	}
	if most := 20/2 + 1; wakes > most {
		t.Errorf("a worker is woken %d times in 20 s, want at most %d", wakes, most)
	}
	if contest.conflict(at(20*time.Second), within).IsZero() {
		t.Error("the conflict is hidden")
	}
}

// Who would take a base over: the first that is heard, unless one comes of whom more is
// proved, or who is the same application; one that fell silent gives way.
func TestWhoContends(t *testing.T) {
	from := func(ip, name, workload string, after time.Duration) tunnel.Heartbeat {
		h := beatWith(func(h *tunnel.Heartbeat) { h.IP, h.Name, h.Port, h.Tunnel = ip, name, 1238, "http" })
		h.Sender = tunnel.Sender{Bound: workload != "", Workload: workload}
		h.Received = at(after)
		return h
	}
	s := time.Second
	for _, c := range []struct {
		name  string
		heard []tunnel.Heartbeat
		want  string
		since time.Duration
	}{
		{"one", []tunnel.Heartbeat{from("192.0.2.2", "shop", "", s)}, "192.0.2.2", s},
		{"the first", []tunnel.Heartbeat{from("192.0.2.2", "shop", "", s), from("192.0.2.3", "shop", "", 2*s)}, "192.0.2.2", s},
		{"the first, heard again", []tunnel.Heartbeat{from("192.0.2.2", "shop", "", s), from("192.0.2.2", "shop", "", 30*s), from("192.0.2.3", "shop", "", 60*s)}, "192.0.2.2", s},
		{"the first fell silent", []tunnel.Heartbeat{from("192.0.2.2", "shop", "", s), from("192.0.2.3", "shop", "", 41*s)}, "192.0.2.3", 41 * s},
		{"the same application", []tunnel.Heartbeat{from("192.0.2.2", "bank", "", s), from("192.0.2.3", "shop", "", 2*s)}, "192.0.2.3", 2 * s},
		{"not another after it", []tunnel.Heartbeat{from("192.0.2.3", "shop", "", s), from("192.0.2.2", "bank", "", 2*s)}, "192.0.2.3", s},
		{"who is proved", []tunnel.Heartbeat{from("192.0.2.2", "shop", "", s), from("192.0.2.3", "bank", "ns/bank/1", 2*s)}, "192.0.2.3", 2 * s},
		{"not who is not after it", []tunnel.Heartbeat{from("192.0.2.3", "bank", "ns/bank/1", s), from("192.0.2.2", "shop", "", 2*s)}, "192.0.2.3", s},
	} {
		t.Run(c.name, func(t *testing.T) {
			m := &Mailbox{}
			m.Bind(incumbentOf(beatOf(noon)), within)
			for _, h := range c.heard {
				m.Heartbeat(h)
			}
			mail := m.Take()
			if got := mail.Contest; got.Contender.IP != c.want || !got.Since.Equal(at(c.since)) {
				t.Errorf("it is %s since %s, want %s since %s", got.Contender.IP, got.Since, c.want, at(c.since))
			}
			if mail.Heartbeat != nil || !mail.LastSeen.IsZero() || !mail.Beat.IsZero() || mail.Process != SameProcess {
				t.Errorf("what they said is the base's: %+v", mail)
			}
		})
	}
}

// A contender's words change neither what is known of the base nor the order of its
// messages, and what comes through another tunnel is not the base's word.
func TestAContenderTouchesNothing(t *testing.T) {
	m, _ := hears()
	own := beatOf(at(time.Second))
	own.Stamp = at(time.Second)
	m.Heartbeat(own)
	liar := beatWith(func(h *tunnel.Heartbeat) { h.IP, h.Restarted = "192.0.2.66", true })
	liar.Received, liar.Stamp = at(2*time.Second), at(time.Hour)
	m.Heartbeat(liar)
	through := listOf(at(3*time.Second), at(time.Second), "evil:1")
	through.Tunnel = "http"
	if m.Report(through) {
		t.Error("a list through another tunnel wakes a worker")
	}
	newer := beatWith(func(h *tunnel.Heartbeat) { h.Version = "2" })
	newer.Received, newer.Stamp = at(4*time.Second), at(4*time.Second)
	m.Heartbeat(newer)
	got := m.Take()
	if got.Process == Restarted || got.List != nil || got.Heartbeat.Version != "2" || !got.LastSeen.Equal(at(4*time.Second)) {
		t.Errorf("it is %+v", got)
	}
}

// Who is the incumbent from now on keeps what it said while it contended; nothing of the
// one before is left, but for the end of the Node.
func TestTheMailboxOfANewIncumbent(t *testing.T) {
	m, _ := hears()
	other := beatWith(func(h *tunnel.Heartbeat) { h.IP = "192.0.2.2" })
	other.Received = at(3 * time.Second)
	m.Heartbeat(beatOf(at(time.Second)))
	m.Report(listOf(at(2*time.Second), time.Time{}, "orders:1"))
	m.Asked(at(2 * time.Second))
	m.NodeDeleted("u")
	m.Heartbeat(other)
	m.Bind(incumbentOf(other), within)
	got := m.Take()
	if got.Heartbeat == nil || *got.Heartbeat != other || got.List != nil || got.Owed != 0 || got.Contest.Contender.Tunnel != "" {
		t.Errorf("it is %+v", got)
	}
	if got.NodeLost != "u" || !got.LastSeen.Equal(at(3*time.Second)) {
		t.Errorf("lost is %q, last seen %s", got.NodeLost, got.LastSeen)
	}
	m.Asked(at(4 * time.Second))
	bound := other
	bound.Sender = tunnel.Sender{Bound: true, Workload: "ns/shop/1"}
	m.Heartbeat(bound)
	if m.Bind(incumbentOf(bound), within); m.Take().Owed != 1 {
		t.Error("of one of which more is known now, the requests are forgotten")
	}
}

// The words about a conflict stay while it lasts, and say what there is as it is.
func TestTheWordsAboutAConflictStay(t *testing.T) {
	s := told(t, served)
	words := map[string]bool{}
	for i := range 6 {
		h := beatOf(at(time.Duration(2+2*i) * time.Second))
		h.IP, h.Hostname = "192.0.2.9", fmt.Sprintf("h%d\u202e", i)
		s.mailbox.Heartbeat(h)
		s.mailbox.Heartbeat(beatOf(at(time.Duration(3+2*i) * time.Second)))
		s.turnAt(time.Duration(3+2*i) * time.Second)
		words[s.base.about.conflict] = true
	}
	delete(words, "")
	if len(words) != 1 {
		t.Errorf("they are %v", words)
	}
	for text := range words {
		if !strings.Contains(text, `"h0\u202e"`) || !strings.Contains(text, "192.0.2.1") {
			t.Errorf("they are %q", text)
		}
	}
}

// While another application is heard where the base is, and the base is not, nothing may be
// sent: it would be that application's. Who is elsewhere, or proves less, holds up nothing.
func TestWhoeverIsWhereTheBaseIsHoldsUpCommands(t *testing.T) {
	proved := tunnel.Sender{Bound: true, Workload: "ns/pod/1"}
	base := beatWith(func(h *tunnel.Heartbeat) { h.Tunnel, h.Port, h.Sender = "http", 1238, proved })
	with := func(change func(*tunnel.Heartbeat)) tunnel.Heartbeat {
		h := base
		h.Name = "bank"
		change(&h)
		return h
	}
	for name, c := range map[string]struct {
		heard []tunnel.Heartbeat
		want  bool
	}{
		"at its endpoint":         {[]tunnel.Heartbeat{with(func(*tunnel.Heartbeat) {})}, true},
		"and then the base":       {[]tunnel.Heartbeat{with(func(*tunnel.Heartbeat) {}), base}, false},
		"of the same application": {[]tunnel.Heartbeat{with(func(h *tunnel.Heartbeat) { h.Name, h.Sender.Workload = base.Name, "ns/pod/2" })}, false},
		"at another port":         {[]tunnel.Heartbeat{with(func(h *tunnel.Heartbeat) { h.Port = 1239 })}, false},
		"at another address":      {[]tunnel.Heartbeat{with(func(h *tunnel.Heartbeat) { h.IP = "192.0.2.9" })}, false},
		"over another tunnel":     {[]tunnel.Heartbeat{with(func(h *tunnel.Heartbeat) { h.Tunnel = "mqtt" })}, false},
		"which nobody proved":     {[]tunnel.Heartbeat{with(func(h *tunnel.Heartbeat) { h.Sender = tunnel.Sender{} })}, false},
	} {
		m, now := &Mailbox{}, noon
		m.Bind(incumbentOf(base), within)
		for _, h := range c.heard {
			now = now.Add(time.Second)
			h.Received = now
			m.Heartbeat(h)
		}
		contest := m.Take().Contest
		if got := contest.ambiguous(now, within); got != c.want {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
		if until := contest.conflict(now, within); !until.IsZero() {
			t.Errorf("%s: a conflict until %s", name, until)
		}
	}
}
