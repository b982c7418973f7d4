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

// guarded is a broker that lets in only the replicas and the bases, by passwords, and has each
// base speak for itself alone.
type guarded interface {
	basetest.TestBroker
	// forReplicas is where replicas connect.
	forReplicas() string
	// admit has it let in more users, and gives the passwords of all.
	admit(names ...string) (basetest.Users, error)
	// longest is the size in bytes of a message from which on it disconnects who sends it; 0 for
	// none.
	longest() int
}

// The suite runs with three replicas on the embedded broker, and in both ways of subscribing.
// TestTheSampleConforms runs it on Mosquitto.
func TestConformance(t *testing.T) {
	conforms(t, "guarded", embedded)
}

// conforms runs the suite on the brokers of a kind, each of which start starts until the test
// ends.
func conforms(t *testing.T, kind string, start func(t *testing.T) guarded) {
	t.Helper()
	for name, wildcards := range map[string]bool{"a filter a base": false, "wildcards": true} {
		t.Run(kind+"/"+name, func(t *testing.T) {
			kit := func(t *testing.T, team *tunneltest.Team) tunneltest.Kit {
				t.Helper()
				return kitOn(t, start(t), wildcards, team)
			}
			tunneltest.RunConformance(t, kit)
			tunneltest.RunArklet(t, kit)
		})
	}
}

// embedded starts an embedded broker, on which nobody retains anything.
func embedded(t *testing.T) guarded {
	t.Helper()
	b, err := basetest.StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	b.Observe(func(m basetest.Published) {
		if m.Retain {
			t.Errorf("%s retained a message on %s", m.Client, m.Topic)
		}
	})
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return &ledger{Broker: b}
}

func kitOn(t *testing.T, broker guarded, wildcards bool, team *tunneltest.Team) tunneltest.Kit {
	t.Helper()
	ours, err := broker.admit(basetest.ControllerUser)
	if err != nil {
		t.Fatal(err)
	}
	told := newWills()
	kit := tunneltest.Kit{Baselines: true, Longest: broker.longest(), Cut: broker.Stop, Mend: broker.Start}
	for n := range kit.Tunnels {
		kit.Tunnels[n] = newTunnel(t, broker.forReplicas(), func(c *Config) {
			c.Wildcards, c.Gate, c.ClientID = wildcards, team.Gate(n), fmt.Sprint(basetest.ControllerUser, "-", n)
			c.Will, c.Gone = told.of(c.ClientID), told.Gone
			c.Username, c.Password = basetest.ControllerUser, ours[basetest.ControllerUser]
		})
	}
	home := func(identity string) (tunneltest.Home, error) {
		_, err := broker.admit(identity)
		return tunneltest.Home{}, err
	}
	kit.Stack = tunneltest.Arklet(home, func(ctx context.Context, bases, strangers []*basetest.Base) error {
		users, err := broker.admit()
		if err != nil {
			return err
		}
		own := &basetest.MQTTFleet{Broker: broker.Address(), Bases: bases, Reconnect: 200 * time.Millisecond, Users: users}
		others := &basetest.MQTTFleet{Broker: broker.Address(), Bases: strangers, Reconnect: 200 * time.Millisecond, Users: basetest.Users{}}
		var playing sync.WaitGroup
		playing.Go(func() { own.Run(ctx) })
		others.Run(ctx) // without a password
		playing.Wait()
		return nil
	})
	return kit
}

// ledger is the embedded broker with its ledger.
type ledger struct {
	*basetest.Broker
	known
}

func (l *ledger) forReplicas() string { return l.Address() }
func (l *ledger) longest() int        { return 0 }

func (l *ledger) admit(names ...string) (basetest.Users, error) {
	users := l.add(names)
	l.Guard(users.Ledger("default"))
	return users, nil
}

// known are the users of a broker.
type known struct {
	mu    sync.Mutex
	users basetest.Users // mu guards it
}

// add adds some, and gives all.
func (k *known) add(names []string) basetest.Users {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.users == nil {
		k.users = basetest.Users{}
	}
	for _, name := range names {
		k.users[name] = "of " + name
	}
	return maps.Clone(k.users)
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
