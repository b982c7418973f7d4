package lifecycle

import (
	"strings"
	"testing"
	"time"

	"module-controller/tunnel"
)

// One origin that gives way to another is a base that moved; two that alternate are two
// live bases.
func TestOriginsTellTwoLiveBasesFromOneThatMoved(t *testing.T) {
	a := tunnel.Heartbeat{IP: "192.0.2.1", Name: "shop"}
	b := tunnel.Heartbeat{IP: "192.0.2.2", Name: "shop"}
	third := tunnel.Heartbeat{IP: "192.0.2.3", Name: "shop"}
	ported := tunnel.Heartbeat{IP: "192.0.2.1", Name: "shop", Port: 7}
	beside := tunnel.Heartbeat{IP: "192.0.2.1", Name: "shop", Port: 8}
	newer := tunnel.Heartbeat{IP: "192.0.2.1", Name: "shop", Version: "2"}
	bank := tunnel.Heartbeat{IP: "192.0.2.1", Name: "bank"}
	for _, c := range []struct {
		name     string
		heard    []tunnel.Heartbeat
		conflict bool
	}{
		{"none", nil, false},
		{"one", []tunnel.Heartbeat{a, a, a, a}, false},
		{"moved", []tunnel.Heartbeat{a, a, b, b}, false},
		{"moved, and one late message", []tunnel.Heartbeat{a, b, a, b, b}, false},
		{"moved twice", []tunnel.Heartbeat{a, b, third, third}, false},
		{"a third one begins the count anew", []tunnel.Heartbeat{a, b, a, b, third, b, third}, false},
		{"after a third one, two", []tunnel.Heartbeat{a, b, a, b, third, b, third, b}, true},
		{"two on one host", []tunnel.Heartbeat{ported, beside, ported, beside, ported}, true},
		{"one, over HTTP and over MQTT, which tells no port", []tunnel.Heartbeat{a, ported, a, ported, a}, false},
		{"two", []tunnel.Heartbeat{a, b, a, b, a}, true},
		{"two versions", []tunnel.Heartbeat{a, newer, a, newer, a}, true},
		{"two applications", []tunnel.Heartbeat{a, bank, a, bank, a}, true},
		{"two, each heard more than once", []tunnel.Heartbeat{a, a, b, b, a, a, b, b, a}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o Origins
			now := noon
			for _, h := range c.heard {
				now = now.Add(5 * time.Second)
				h.Received = now
				o.Observe(h)
			}
			if o.Empty() != (len(c.heard) == 0) {
				t.Errorf("empty: %v", o.Empty())
			}
			why, until := o.Conflict(now, 40*time.Second)
			if (why != "") != c.conflict {
				t.Errorf("conflict %q, want one: %v", why, c.conflict)
			}
			if c.conflict && !until.Equal(now.Add(40*time.Second)) {
				t.Errorf("held until %s", until)
			}
			if !c.conflict && !until.IsZero() {
				t.Errorf("no conflict is held until %s", until)
			}
			if why, _ := o.Conflict(now.Add(40*time.Second), 40*time.Second); why != "" {
				t.Errorf("still a conflict long after: %q", why)
			}
		})
	}
}

// What is known of a port does not come and go with the tunnel that tells it.
func TestOriginsSayWhatChanged(t *testing.T) {
	var o Origins
	for i, c := range []struct {
		ip      string
		port    int
		changed bool
	}{
		{"192.0.2.1", 0, true}, {"192.0.2.1", 0, false}, {"192.0.2.1", 7, false}, {"192.0.2.1", 8, true},
		{"192.0.2.1", 0, false}, {"192.0.2.2", 0, true}, {"192.0.2.1", 8, true},
	} {
		h := tunnel.Heartbeat{IP: c.ip, Port: c.port, Received: at(time.Duration(i) * time.Second)}
		if got := o.Observe(h); got != c.changed {
			t.Errorf("heartbeat %d: changed %v, want %v", i, got, c.changed)
		}
	}
}

// A conflict ends once only one of the two is heard for a while, and names both until then.
func TestAConflictEnds(t *testing.T) {
	var o Origins
	hear := func(s int, ip, hostname string) {
		o.Observe(tunnel.Heartbeat{IP: ip, Hostname: hostname, Name: "shop", Version: "1", Received: at(time.Duration(s) * time.Second)})
	}
	for s := range 5 {
		hear(s, []string{"192.0.2.1", "192.0.2.2"}[s%2], []string{"one", "two"}[s%2])
	}
	for s := 5; s < 44; s++ {
		hear(s, "192.0.2.1", "one") // the other is stopped
		why, until := o.Conflict(at(time.Duration(s)*time.Second), 40*time.Second)
		if !until.Equal(at(44 * time.Second)) {
			t.Fatalf("after %d s it is held until %s", s, until)
		}
		for _, part := range []string{"192.0.2.1 (one)", "192.0.2.2 (two)", "shop 1"} {
			if !strings.Contains(why, part) {
				t.Fatalf("%q does not name %s", why, part)
			}
		}
	}
	if why, until := o.Conflict(at(44*time.Second), 40*time.Second); why != "" || !until.IsZero() {
		t.Errorf("it has not ended: %q until %s", why, until)
	}
}
