package mqtttunnel

import (
	"bufio"
	"errors"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
	"go.uber.org/zap/zaptest"

	"module-controller/tunnel"
	"module-controller/tunnel/basetest"
	"module-controller/tunnel/tunneltest"
)

func gated(t *testing.T, broker *basetest.Broker, g *tunneltest.Gate, change func(*Config)) (*Tunnel, *tunneltest.RecordingSink) {
	t.Helper()
	tun, sink := startOn(t, broker.Address(), func(c *Config) {
		c.Gate = g
		if change != nil {
			change(c)
		}
	})
	tunneltest.Await(t, "link up", func() bool { return sink.Recorded().Up() })
	return tun, sink
}

func TestNothingIsCommandedWhileTheGateIsShut(t *testing.T) {
	broker := newBroker(t)
	var commands atomic.Int32
	broker.Observe(func(p basetest.Published) {
		if p.Topic == "koupleless_dev/b1/queryAllBiz" {
			commands.Add(1)
		}
	})
	g := tunneltest.NewGate()
	tun, sink := gated(t, broker, g, nil)
	tun.Follow(tunnel.Heartbeat{Base: id(1)})
	tunneltest.Await(t, "followed", tun.hears(1))
	ask := tunnel.Command{Verb: tunnel.ListModules}
	g.Shut(0)
	if err := tun.Do(t.Context(), id(1), ask); !errors.Is(err, tunnel.ErrShut) {
		t.Errorf("while it is shut: %v", err)
	}
	say(t, broker, id(1))
	tunneltest.Await(t, "a list, for listening goes on", func() bool { return sink.Recorded().Lists(id(1)) == 1 })
	if n := commands.Load(); n != 0 {
		t.Errorf("%d commands came while it is shut", n)
	}
	g.Open()
	if err := tun.Do(t.Context(), id(1), ask); err != nil {
		t.Errorf("once it is open: %v", err)
	}
	tunneltest.Await(t, "the command", func() bool { return commands.Load() == 1 })
}

// What was decided before the gate shut does not leave after it: the check stands in
// the write itself.
func TestTheWireHoldsBackWhatComesTooLate(t *testing.T) {
	ours, theirs := net.Pipe()
	defer func() { _ = theirs.Close() }()
	g := tunneltest.NewGate()
	g.Shut(0)
	w := &wire{Conn: ours, in: bufio.NewReader(ours), timeout: time.Second, gate: g, free: []byte("free"), log: zaptest.NewLogger(t)}
	got := make(chan byte, 10)
	go func() {
		defer close(got)
		for {
			p, err := packets.ReadPacket(theirs)
			if err != nil {
				return
			}
			switch p := p.(type) {
			case *packets.PublishPacket:
				got <- p.TopicName[0]
			case *packets.PingreqPacket:
				got <- 'P'
			}
		}
	}()
	publish := func(topic string, size int) packets.ControlPacket {
		p := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		p.TopicName, p.Qos, p.MessageID, p.Payload = topic, 1, 7, make([]byte, size)
		return p
	}
	for _, p := range []packets.ControlPacket{
		publish("command", 10), publish("command", 100_000), publish("free", 200), packets.NewControlPacket(packets.Pingreq),
	} {
		if err := p.Write(w); err != nil {
			t.Fatal(err)
		}
	}
	g.Open()
	if err := publish("later", 10).Write(w); err != nil {
		t.Fatal(err)
	}
	_ = ours.Close()
	var all []byte
	for b := range got {
		all = append(all, b)
	}
	if string(all) != "fPl" {
		t.Errorf("what left: %q, want the free message, the ping and the later one", all)
	}
}

// Whoever is evicted comes back only when its right to speak was proved anew.
func TestAnEvictedClientWaitsForProof(t *testing.T) {
	broker := newBroker(t)
	g := tunneltest.NewGate()
	_, sink := gated(t, broker, g, func(c *Config) { c.ClientID = "evicted" })
	killer := newTunnel(t, broker.Address(), func(c *Config) { c.ClientID, c.Environments = "killer", []string{"dev"} })
	if err := killer.Evict(t.Context(), "evicted"); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "link down", func() bool { return !sink.Recorded().Up() })
	tunneltest.Await(t, "it to ask for proof", g.Waiting)
	proved := g.Prove()
	tunneltest.Await(t, "link up again", func() bool { return sink.Recorded().Up() })
	if links := sink.Recorded().Links; links[len(links)-1].Since.Before(proved) {
		t.Error("it came back without proof")
	}
}
