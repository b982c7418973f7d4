package mqtttunnel

import (
	"context"
	"maps"
	"net"
	"strconv"
	"sync"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// guarded is the embedded broker that lets in only the controller and the bases, by passwords,
// and has each base speak for itself alone.
const guarded = "guarded"

// The suite runs on every kind of broker that there is here, and in both ways of
// subscribing.
func TestConformance(t *testing.T) {
	for _, kind := range []string{"embedded", guarded, "mosquitto"} {
		for name, wildcards := range map[string]bool{"a filter a base": false, "wildcards": true} {
			brokers, err := basetest.Brokers(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			_, here := brokers[keyOf(kind)]
			for _, b := range brokers {
				if err := b.Stop(); err != nil {
					t.Fatal(err)
				}
			}
			if !here {
				continue
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				kit := func(t *testing.T, gate tunnel.Gate) tunneltest.Kit {
					t.Helper()
					return kitOn(t, kind, wildcards, gate)
				}
				tunneltest.RunConformance(t, kit)
				tunneltest.RunArklet(t, kit)
			})
		}
	}
}

// keyOf is the key of a kind's broker in basetest.Brokers.
func keyOf(kind string) string {
	if kind == guarded {
		return "embedded"
	}
	return kind
}

func kitOn(t *testing.T, kind string, wildcards bool, gate tunnel.Gate) tunneltest.Kit {
	t.Helper()
	brokers, err := basetest.Brokers(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		for _, b := range brokers {
			if err := b.Stop(); err != nil {
				t.Error(err)
			}
		}
	})
	broker := brokers[keyOf(kind)]
	users := guard{}
	if b, ok := broker.(*basetest.Broker); ok {
		b.Observe(func(m basetest.Published) {
			if m.Retain {
				t.Errorf("%s retained a message on %s", m.Client, m.Topic)
			}
		})
		if kind == guarded {
			users.Broker = b
		}
	}
	controller := users.admit(basetest.ControllerUser)
	return tunneltest.Kit{
		Tunnel: newTunnel(t, broker.Address(), func(c *Config) {
			c.Wildcards, c.Gate, c.ClientID = wildcards, gate, basetest.ControllerUser+"-a"
			if controller != nil {
				c.Username, c.Password = basetest.ControllerUser, controller[basetest.ControllerUser]
			}
		}),
		Stack: tunneltest.Arklet(func(ctx context.Context, bases []*basetest.Base) error {
			var names []string
			for _, b := range bases {
				names = append(names, b.Identity())
			}
			(&basetest.MQTTFleet{Broker: broker.Address(), Bases: bases, Reconnect: 200 * time.Millisecond, Users: users.admit(names...)}).Run(ctx)
			return nil
		}),
		Cut: broker.Stop, Mend: broker.Start,
	}
}

// guard keeps the users of a broker; without one there are none.
type guard struct {
	*basetest.Broker

	mu    sync.Mutex
	users basetest.Users // mu guards it
}

// admit has the broker let in more users, and gives all; nil where everybody is let in.
func (g *guard) admit(names ...string) basetest.Users {
	if g.Broker == nil {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.users == nil {
		g.users = basetest.Users{}
	}
	for _, name := range names {
		g.users[name] = "of " + name
	}
	g.Guard(g.users.Ledger("default"))
	return maps.Clone(g.users)
}

func newTunnel(t *testing.T, broker string, change func(*Config)) *Tunnel {
	t.Helper()
	return meteredTunnel(t, broker, tunnel.NoMeter, change)
}

func meteredTunnel(t *testing.T, broker string, meter tunnel.Meter, change func(*Config)) *Tunnel {
	t.Helper()
	host, port, err := net.SplitHostPort(broker)
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.Atoi(port)
	if err != nil {
		t.Fatal(err)
	}
	c := Config{Broker: host, Port: n, ClientID: "test", Environments: []string{"default"}}
	change(&c)
	tun, err := New(c, zaptest.NewLogger(t), meter)
	if err != nil {
		t.Fatal(err)
	}
	return tun
}
