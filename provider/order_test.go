package provider

import (
	"testing"
	"time"

	"module-controller/tunnel"
)

// What a base said long ago, and comes again, says nothing of what is: not in a list, nor
// in a health. A base whose clock was set back is believed again, after a while or when
// it begins anew.
func TestOldMessagesAreNotBelieved(t *testing.T) {
	id := tunnel.BaseID{Env: "dev", Identity: "b"}
	b := newBase(id, "vnode.b.dev", tunnel.Heartbeat{Tunnel: "mqtt"}, nil)
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	now := noon
	hear := func(stamp time.Time, names ...string) {
		now = now.Add(time.Second)
		r := tunnel.Report{Base: id, Tunnel: "mqtt", Received: now, Stamp: stamp, Listed: true}
		for _, name := range names {
			r.Modules = append(r.Modules, tunnel.Module{ModuleKey: tunnel.ModuleKey{Name: name, Version: "1"}})
		}
		b.report(r)
		b.report(tunnel.Report{Base: id, Tunnel: "mqtt", Received: now, Stamp: stamp, Health: &tunnel.Health{Uptime: stamp.Sub(noon.Add(-24 * time.Hour))}})
		b.absorb(b.take())
	}
	lists := func(want int, when string) {
		t.Helper()
		if len(b.modules) != want {
			t.Errorf("%s: %d modules are listed, want %d", when, len(b.modules), want)
		}
	}
	b.asked(now)
	hear(noon, "orders", "stock")
	lists(2, "at first")
	asked := now
	b.asked(asked)
	hear(noon.Add(-time.Hour))
	lists(2, "after one that is an hour old")
	hear(noon, "orders")
	lists(2, "after one that came twice")
	if !b.listed.Before(asked) {
		t.Error("an old list answered a request")
	}
	hear(noon.Add(10*time.Second), "orders")
	lists(1, "after the next")
	now = now.Add(clockSetBack)
	hear(noon.Add(-time.Hour), "orders", "stock")
	lists(2, "when the clock was set back")
	b.heartbeat(tunnel.Heartbeat{Base: id, Tunnel: "mqtt", Received: now, Restarted: true})
	b.absorb(b.take())
	hear(noon.Add(-2*time.Hour), "orders")
	lists(1, "when it began anew")
}

// A heartbeat that comes late, or once more, is a sign of life and no more: the base is
// where, and what, it said last.
func TestAnOldHeartbeatMovesNoBase(t *testing.T) {
	id := tunnel.BaseID{Env: "dev", Identity: "b"}
	now := time.Date(2026, 11, 25, 12, 0, 0, 0, time.UTC)
	beat := func(ip string, stamp, received time.Time, first bool) tunnel.Heartbeat {
		return tunnel.Heartbeat{Base: id, Tunnel: "mqtt", Name: "shop", IP: ip, Stamp: stamp, Received: received, Restarted: first}
	}
	b := newBase(id, "vnode.b.dev", beat("10.0.0.1", now, now, false), nil)
	for _, c := range []struct {
		when  string
		said  tunnel.Heartbeat
		after time.Duration // that it came
		want  string
	}{
		{"at first", beat("10.0.0.1", now, now, false), 0, "10.0.0.1"},
		{"when it moved", beat("10.0.0.2", now.Add(10*time.Second), now, false), 10 * time.Second, "10.0.0.2"},
		{"after an old one", beat("10.0.0.1", now, now, false), 12 * time.Second, "10.0.0.2"},
		{"after one without a stamp", beat("10.0.0.3", time.Time{}, now, false), 13 * time.Second, "10.0.0.3"},
		{"when its clock was set back", beat("10.0.0.4", now.Add(-time.Hour), now, false), 10*time.Second + clockSetBack, "10.0.0.4"},
		{"when it began anew", beat("10.0.0.5", now.Add(-2*time.Hour), now, true), 11*time.Second + clockSetBack, "10.0.0.5"},
	} {
		c.said.Received = now.Add(c.after)
		b.heartbeat(c.said)
		m := b.take()
		b.absorb(m)
		if b.beat.IP != c.want {
			t.Errorf("%s it is at %s, want %s", c.when, b.beat.IP, c.want)
		}
		if !m.heard.Equal(c.said.Received) {
			t.Errorf("%s its last sign of life was at %s, want %s", c.when, m.heard, c.said.Received)
		}
	}
}
