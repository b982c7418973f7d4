package lifecycle

import (
	"testing"
	"time"

	"module-controller/tunnel"
)

// A worker that has settled is woken by what is new, and by nothing else.
func TestWhatWakesAWorker(t *testing.T) {
	later := at(time.Minute)
	changed := func(change func(*tunnel.Heartbeat)) func(*Mailbox) bool {
		return func(m *Mailbox) bool {
			h := beatOf(later)
			change(&h)
			return m.Heartbeat(h)
		}
	}
	healthAfter := func(was, is tunnel.Health) func(*Mailbox) bool {
		return func(m *Mailbox) bool {
			m.Report(tunnel.Report{Received: later, Health: &was})
			return m.Report(tunnel.Report{Received: later, Health: &is})
		}
	}
	reported := func(r tunnel.Report) func(*Mailbox) bool {
		return func(m *Mailbox) bool { return m.Report(r) }
	}
	for _, c := range []struct {
		name    string
		hear    func(*Mailbox) bool
		settled bool // it wakes a worker that has settled
		busy    bool // and one that has not
	}{
		{"the same heartbeat", changed(func(*tunnel.Heartbeat) {}), false, true},
		{"the same, stamped later", changed(func(h *tunnel.Heartbeat) { h.Stamp = later }), false, true},
		{"another version", changed(func(h *tunnel.Heartbeat) { h.Version = "2" }), true, true},
		{"another name", changed(func(h *tunnel.Heartbeat) { h.Name = "bank" }), true, true},
		{"another port", changed(func(h *tunnel.Heartbeat) { h.Port = 1238 }), true, true},
		{"another tunnel", changed(func(h *tunnel.Heartbeat) { h.Tunnel = "http" }), true, true},
		{"another version, in a late heartbeat", changed(func(h *tunnel.Heartbeat) { h.Version, h.Stamp, h.Received = "2", noon, at(time.Second) }), false, true},
		{"somebody else's sender", changed(func(h *tunnel.Heartbeat) { h.Sender.Bound = true }), true, true},
		{"out of time, where no stamp tells", func(m *Mailbox) bool {
			for _, after := range []time.Duration{12 * time.Second, 24 * time.Second} {
				m.Heartbeat(beatOf(at(after)))
			}
			return m.Heartbeat(beatOf(at(30 * time.Second)))
		}, true, true},
		{"restarted", changed(func(h *tunnel.Heartbeat) { h.Restarted = true }), true, true},
		{"the same list", reported(listOf(later, time.Time{}, "orders:1")), false, true},
		{"another list", reported(listOf(later, time.Time{}, "orders:1", "stock:1")), true, true},
		{"a late list", reported(tunnel.Report{Listed: true, Received: at(30 * time.Second), Stamp: at(-time.Second)}), false, false},
		{"a first health", healthAfter(tunnel.Health{}, tunnel.Health{MaxMemory: 1, Uptime: time.Minute}), true, true},
		{"the same health", healthAfter(tunnel.Health{MaxMemory: 1, Uptime: time.Minute}, tunnel.Health{MaxMemory: 1, Uptime: time.Hour}), false, true},
		{"more used", healthAfter(tunnel.Health{Uptime: time.Minute}, tunnel.Health{UsedMemory: 1, Uptime: time.Hour}), true, true},
		{"the same health of another process", healthAfter(tunnel.Health{Uptime: time.Hour}, tunnel.Health{Uptime: time.Minute}), true, true},
		{"features", reported(tunnel.Report{Received: later, Features: &tunnel.Features{}}), true, true},
		{"an answer", reported(tunnel.Report{Received: later, Answer: &tunnel.Answer{}}), true, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			for _, settled := range []bool{true, false} {
				want := c.busy
				if settled {
					want = c.settled
				}
				if got := c.hear(settledMailbox(settled)); got != want {
					t.Errorf("wakes %v, want %v; settled: %v", got, want, settled)
				}
			}
		})
	}
}

// settledMailbox has heard one base that has orders:1, and its worker took it.
func settledMailbox(settled bool) *Mailbox {
	m := &Mailbox{}
	h, list := beatOf(noon), listOf(noon, time.Time{}, "orders:1")
	h.Stamp, list.Stamp = noon, noon
	m.Heartbeat(h)
	m.Report(list)
	m.Take()
	if settled {
		m.Settle(modulesOf("orders:1"))
	}
	return m
}

// What settles a mailbox lasts until it is taken, unsettled, or its Node is deleted.
func TestWhatEndsSettling(t *testing.T) {
	for name, end := range map[string]func(*Mailbox){
		"taken":        func(m *Mailbox) { m.Take() },
		"unsettled":    func(m *Mailbox) { m.Unsettle() },
		"Node deleted": func(m *Mailbox) { m.NodeDeleted("u") },
	} {
		m := settledMailbox(true)
		if m.Heartbeat(beatOf(at(time.Second))) {
			t.Errorf("%s: a worker is woken before", name)
		}
		end(m)
		if !m.Heartbeat(beatOf(at(2 * time.Second))) {
			t.Errorf("%s: no worker is woken after", name)
		}
	}
}

// A mailbox tells when its base has been silent, which each message of the incumbent moves,
// one that came before it was told to as well; a Turn begins anew.
func TestAMailboxTellsOfSilence(t *testing.T) {
	s := time.Second
	for _, c := range []struct {
		name    string
		silence Silence
		heard   []time.Duration
		due     time.Duration // zero for never
	}{
		{"never", Silence{}, nil, 0},
		{"stale", Silence{Since: at(0), Stale: 40 * s}, nil, 40 * s},
		{"asked before", Silence{Since: at(0), Stale: 40 * s, Ask: 20 * s}, nil, 20 * s},
		{"asked a while ago", Silence{Since: at(0), Stale: 40 * s, Ask: 20 * s, NotBefore: at(28 * s)}, nil, 28 * s},
		{"asked just now", Silence{Since: at(0), Stale: 40 * s, Ask: 20 * s, NotBefore: at(50 * s)}, nil, 40 * s},
		{"heard since", Silence{Since: at(0), Stale: 40 * s, Ask: 20 * s}, []time.Duration{5 * s, 15 * s}, 35 * s},
		{"heard before that", Silence{Since: at(10 * s), Stale: 40 * s}, []time.Duration{5 * s}, 50 * s},
	} {
		first, later := settledMailbox(true), settledMailbox(true)
		first.Listen(c.silence)
		for _, after := range c.heard {
			first.Heartbeat(beatOf(at(after)))
			later.Heartbeat(beatOf(at(after)))
		}
		later.Listen(c.silence)
		for which, m := range map[string]*Mailbox{"told first": first, "told later": later} {
			if c.due == 0 {
				if m.Silent(at(time.Hour)) {
					t.Errorf("%s, %s: it wakes a worker", c.name, which)
				}
				continue
			}
			if m.Silent(at(c.due-1)) || !m.Silent(at(c.due)) {
				t.Errorf("%s, %s: it wakes a worker at %s, want %s", c.name, which, m.silence.Due().Sub(noon), c.due)
			}
			if m.Take(); m.Silent(at(time.Hour)) {
				t.Errorf("%s, %s: taken, it wakes a worker", c.name, which)
			}
		}
	}
}
