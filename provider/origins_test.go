package provider

import (
	"testing"
	"time"

	"module-controller/tunnel"
)

func TestOriginsTellTwoLiveBasesFromOneThatMoved(t *testing.T) {
	start := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a := tunnel.Heartbeat{IP: "192.0.2.1", Name: "shop"}
	b := tunnel.Heartbeat{IP: "192.0.2.2", Name: "shop"}
	ported := tunnel.Heartbeat{IP: "192.0.2.1", Name: "shop", Port: 7}
	beside := tunnel.Heartbeat{IP: "192.0.2.1", Name: "shop", Port: 8}
	for _, c := range []struct {
		name     string
		heard    []tunnel.Heartbeat
		conflict bool
	}{
		{"one", []tunnel.Heartbeat{a, a, a, a}, false},
		{"moved", []tunnel.Heartbeat{a, a, b, b}, false},
		{"moved, and one late message", []tunnel.Heartbeat{a, b, a, b, b}, false},
		{"two on one host", []tunnel.Heartbeat{ported, beside, ported, beside, ported}, true},
		{"one, over HTTP and over MQTT, which tells no port", []tunnel.Heartbeat{a, ported, a, ported, a}, false},
		{"two", []tunnel.Heartbeat{a, b, a, b, a}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o origins
			now := start
			for _, h := range c.heard {
				now = now.Add(5 * time.Second)
				h.Received = now
				o.hear(h)
			}
			why, until := o.conflict(now, 40*time.Second)
			if (why != "") != c.conflict {
				t.Errorf("conflict %q, want one: %v", why, c.conflict)
			}
			if c.conflict && !until.Equal(now.Add(40*time.Second)) {
				t.Errorf("held until %s", until)
			}
			if why, _ := o.conflict(now.Add(40*time.Second), 40*time.Second); why != "" {
				t.Errorf("still a conflict long after: %q", why)
			}
		})
	}
}
