package provider

import (
	"testing"
	"time"

	"go.uber.org/zap"
	"module-controller/tunnel"
)

// A list that was on its way for longer than a later one tells nothing new.
func TestAnOlderListThatComesLateIsLeftOut(t *testing.T) {
	b := newBase(tunnel.BaseID{Env: "dev", Identity: "b"}, "vnode.b.dev", tunnel.Heartbeat{}, nil)
	noon := time.Date(2026, 11, 24, 12, 0, 0, 0, time.UTC)
	list := func(asked time.Time, names ...string) {
		r := tunnel.Report{Listed: true, Asked: asked, Received: noon.Add(time.Minute)}
		for _, name := range names {
			r.Modules = append(r.Modules, tunnel.Module{ModuleKey: tunnel.ModuleKey{Name: name, Version: "1"}})
		}
		b.report(r)
		b.absorb(b.take())
	}
	list(noon.Add(2*time.Second), "orders")
	list(noon.Add(time.Second))
	if len(b.modules) != 1 {
		t.Errorf("after the older one: %v", b.modules)
	}
	list(noon.Add(3 * time.Second))
	if len(b.modules) != 0 || !b.listed.Equal(noon.Add(3*time.Second)) {
		t.Errorf("after the newer one: %v, of %s", b.modules, b.listed)
	}
}

// While the link is down, or while the tunnel does not hear the base yet, nothing that
// is due is done: a base must not be looked at for it over and over.
func TestWhatCannotBeAskedIsNotWaitedFor(t *testing.T) {
	p := &Provider{cfg: Config{}.Complete(), bases: newRegistry(), log: zap.NewNop()}
	now := time.Now()
	b := newBase(tunnel.BaseID{Env: "dev", Identity: "b"}, "vnode.b.dev", tunnel.Heartbeat{Tunnel: "mqtt"}, nil)
	b.adopted, b.followed = now.Add(-time.Hour), b.beat
	if wait := p.nextLook(b, now, true); wait < time.Second {
		t.Errorf("without a link the next look is in %s", wait)
	}
	p.bases.setLink(tunnel.Link{Tunnel: "mqtt", Up: true, Since: now})
	if wait := p.nextLook(b, now, true); wait > time.Second {
		t.Errorf("with a link the next look is in %s", wait)
	}
	var waits []time.Duration
	for range 10 {
		p.ask(t.Context(), b, tunnel.ListModules, b.asked) // there is no such tunnel
		waits = append(waits, p.nextLook(b, time.Now(), true))
	}
	if last := waits[len(waits)-1]; last < followPauseMax/2 || waits[0] > 2*followPause {
		t.Errorf("a base that is not followed is looked at after %v", waits)
	}
	if !b.unanswered.IsZero() {
		t.Error("it owes an answer, and was not heard since the link came up")
	}
	b.heardAt = now.Add(time.Millisecond)
	p.ask(t.Context(), b, tunnel.ListModules, b.asked)
	if b.unanswered.IsZero() {
		t.Error("it owes no answer")
	}
}
