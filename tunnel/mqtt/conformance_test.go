package mqtttunnel

import (
	"context"
	"fmt"
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

// guarded is the embedded broker that lets in only the replicas and the bases, by passwords,
// and has each base speak for itself alone. Mosquitto lets everybody do everything here: its
// ACLs have tests of their own.
const guarded, mosquitto = "guarded", "mosquitto"

// The suite runs with three replicas on every kind of broker that there is here, and in both
// ways of subscribing.
func TestConformance(t *testing.T) {
	kinds := []string{guarded}
	if _, installed := basetest.NewMosquitto(""); installed {
		kinds = append(kinds, mosquitto)
	}
	for _, kind := range kinds {
		for name, wildcards := range map[string]bool{"a filter a base": false, "wildcards": true} {
			t.Run(kind+"/"+name, func(t *testing.T) {
				kit := func(t *testing.T, team *tunneltest.Team) tunneltest.Kit {
					t.Helper()
					return kitOn(t, kind, wildcards, team)
				}
				tunneltest.RunConformance(t, kit)
				tunneltest.RunArklet(t, kit)
			})
		}
	}
}

// startKind starts a broker until the test ends, and gives who keeps its users.
func startKind(t *testing.T, kind string) (basetest.TestBroker, *guard) {
	t.Helper()
	if kind == mosquitto {
		m, _ := basetest.NewMosquitto(t.TempDir())
		if err := m.Start(); err != nil {
			t.Fatal(err)
		}
		return m, &guard{}
	}
	b, err := basetest.StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.Observe(func(m basetest.Published) {
		if m.Retain {
			t.Errorf("%s retained a message on %s", m.Client, m.Topic)
		}
	})
	return b, &guard{Broker: b}
}

func kitOn(t *testing.T, kind string, wildcards bool, team *tunneltest.Team) tunneltest.Kit {
	t.Helper()
	broker, users := startKind(t, kind)
	t.Cleanup(func() {
		if err := broker.Stop(); err != nil {
			t.Error(err)
		}
	})
	ours, told := users.admit(basetest.ControllerUser), newWills()
	kit := tunneltest.Kit{Anybody: ours == nil, Cut: broker.Stop, Mend: broker.Start}
	for n := range kit.Tunnels {
		kit.Tunnels[n] = newTunnel(t, broker.Address(), func(c *Config) {
			c.Wildcards, c.Gate, c.ClientID = wildcards, team.Gate(n), fmt.Sprint(basetest.ControllerUser, "-", n)
			c.Will, c.Gone = told.of(c.ClientID), told.Gone
			if ours != nil {
				c.Username, c.Password = basetest.ControllerUser, ours[basetest.ControllerUser]
			}
		})
	}
	kit.Stack = tunneltest.Arklet(func(ctx context.Context, bases, strangers []*basetest.Base) error {
		own := &basetest.MQTTFleet{Broker: broker.Address(), Bases: bases, Reconnect: 200 * time.Millisecond, Users: users.admit(identities(bases)...)}
		others := &basetest.MQTTFleet{Broker: broker.Address(), Bases: strangers, Reconnect: 200 * time.Millisecond, Users: basetest.Users{}}
		var playing sync.WaitGroup
		playing.Go(func() { own.Run(ctx) })
		others.Run(ctx) // without a password
		playing.Wait()
		return nil
	})
	return kit
}

func identities(bases []*basetest.Base) (all []string) {
	for _, b := range bases {
		all = append(all, b.Identity())
	}
	return all
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
