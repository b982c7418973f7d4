package provider

import (
	"testing"
	"time"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Answers to polls are heard by the owner alone: what another owner heard until just
// now is not silent for us.
func TestSilenceCountsFromTheTakeover(t *testing.T) {
	p := &Provider{cfg: Config{}.Complete(), bases: newRegistry()}
	p.bases.setLink(tunnel.Link{Tunnel: "mqtt", Up: true, Since: time.Now().Add(-time.Hour)})
	now := time.Now()
	b := newBase(tunnel.BaseID{Env: "dev", Identity: "b"}, "vnode.b.dev", tunnel.Heartbeat{Tunnel: "mqtt"}, nil)
	b.heardAt = now.Add(-p.cfg.StaleAfter + time.Second)
	if age := p.ageOf(b, now.Add(2*time.Second), ""); age.NotReady != "" {
		t.Errorf("after a takeover it is %s", age.NotReady)
	}
	if age := p.ageOf(b, now.Add(p.cfg.StaleAfter+time.Second), ""); age.NotReady != plan.ReasonBaseSilent {
		t.Errorf("never heard since, it is %q", age.NotReady)
	}
	b.notReady = plan.ReasonBaseSilent
	if age := p.ageOf(b, now.Add(2*time.Second), ""); age.NotReady != plan.ReasonBaseSilent {
		t.Errorf("silent before the takeover, it is %q", age.NotReady)
	}
	b.heardAt = time.Time{}
	if age := p.ageOf(b, now.Add(2*time.Second), ""); age.NotReady != plan.ReasonBaseSilent {
		t.Errorf("silent before the takeover and never heard here, it is %q", age.NotReady)
	}
}
