package mqtttunnel

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

// The suite runs on every kind of broker that there is here, and in both ways of
// subscribing.
func TestConformance(t *testing.T) {
	for _, kind := range []string{"embedded", "mosquitto"} {
		for name, wildcards := range map[string]bool{"a filter a base": false, "wildcards": true} {
			brokers, err := basetest.Brokers(t.TempDir())
			if err != nil {
				t.Fatal(err)
			}
			_, here := brokers[kind]
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
	broker := brokers[kind]
	if b, ok := broker.(*basetest.Broker); ok {
		b.Observe(func(m basetest.Published) {
			if m.Retain {
				t.Errorf("%s retained a message on %s", m.Client, m.Topic)
			}
		})
	}
	return tunneltest.Kit{
		Tunnel: newTunnel(t, broker.Address(), func(c *Config) { c.Wildcards, c.Gate = wildcards, gate }),
		Stack: tunneltest.Arklet(func(ctx context.Context, bases []*basetest.Base) error {
			(&basetest.MQTTFleet{Broker: broker.Address(), Bases: bases, Reconnect: 200 * time.Millisecond}).Run(ctx)
			return nil
		}),
		Cut: broker.Stop, Mend: broker.Start,
	}
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
