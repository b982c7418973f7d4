package basetest

import (
	"bufio"
	"fmt"
	"net"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/eclipse/paho.mqtt.golang/packets"
)

// peer speaks MQTT by hand.
type peer struct {
	*testing.T
	conn net.Conn
	in   *bufio.Reader
}

func dial(t *testing.T, b *Broker, id string) *peer {
	t.Helper()
	conn, err := net.Dial("tcp", b.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(enough)); err != nil {
		t.Fatal(err)
	}
	p := &peer{t, conn, bufio.NewReader(conn)}
	c := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	c.ProtocolName, c.ProtocolVersion, c.ClientIdentifier, c.CleanSession = "MQTT", 4, id, true
	p.write(c)
	if ack, ok := p.read().(*packets.ConnackPacket); !ok || ack.ReturnCode != 0 {
		t.Fatalf("connect: %v", ack)
	}
	return p
}

func (p *peer) write(packet packets.ControlPacket) {
	p.Helper()
	if err := packet.Write(p.conn); err != nil {
		p.Fatal(err)
	}
}

func (p *peer) read() packets.ControlPacket {
	p.Helper()
	packet, err := packets.ReadPacket(p.in)
	if err != nil {
		p.Fatal(err)
	}
	return packet
}

// subscribe gives the code that the broker granted.
func (p *peer) subscribe(id uint16, filter string) byte {
	p.Helper()
	s := packets.NewControlPacket(packets.Subscribe).(*packets.SubscribePacket)
	s.MessageID, s.Topics, s.Qoss = id, []string{filter}, []byte{1}
	p.write(s)
	ack, ok := p.read().(*packets.SubackPacket)
	if !ok || ack.MessageID != id || len(ack.ReturnCodes) != 1 {
		p.Fatalf("subscribe: %v", ack)
	}
	return ack.ReturnCodes[0]
}

func newBroker(t *testing.T) *Broker {
	t.Helper()
	b, err := StartBroker("127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b
}

// Client and broker choose packet ids without each other: a subscription may have
// that of a message which is not yet acknowledged.
func TestBrokerTakesASubscriptionWithAnIDUnderWay(t *testing.T) {
	b := newBroker(t)
	p := dial(t, b, "peer")
	if code := p.subscribe(100, "first"); code != 1 {
		t.Fatalf("granted %d", code)
	}
	if err := b.Publish("first", nil, false); err != nil {
		t.Fatal(err)
	}
	m, ok := p.read().(*packets.PublishPacket)
	if !ok {
		t.Fatal("no message")
	}
	if code := p.subscribe(m.MessageID, "second"); code != 1 {
		t.Errorf("granted %#x", code)
	}
}

func TestBrokerKeepsAddressAndRetained(t *testing.T) {
	b := newBroker(t)
	if err := b.Publish("kept", []byte("x"), true); err != nil {
		t.Fatal(err)
	}
	address := b.Address()
	if err := b.Restart(); err != nil {
		t.Fatal(err)
	}
	if got := b.Retained(); b.Address() != address || !slices.Contains(got, "kept") {
		t.Errorf("address %s, want %s; retained %q", b.Address(), address, got)
	}
	p := dial(t, b, "peer")
	p.subscribe(1, "kept")
	if m, ok := p.read().(*packets.PublishPacket); !ok || string(m.Payload) != "x" {
		t.Errorf("got %v", m)
	}
	if err := b.Wipe(); err != nil {
		t.Fatal(err)
	}
	if slices.Contains(b.Retained(), "kept") {
		t.Error("it is still retained")
	}
}

func TestBrokerDenies(t *testing.T) {
	b := newBroker(t)
	b.Deny(func(filter string) bool { return filter == "secret" })
	p := dial(t, b, "peer")
	if code := p.subscribe(1, "secret"); code != 0x80 {
		t.Errorf("granted %#x", code)
	}
	if code := p.subscribe(2, "open"); code != 1 {
		t.Errorf("granted %#x", code)
	}
}

func TestBrokerDeaf(t *testing.T) {
	b := newBroker(t)
	hears, speaks := dial(t, b, "hears"), dial(t, b, "speaks")
	hears.subscribe(1, "a")
	speak := func(id uint16) {
		m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		m.TopicName, m.Qos, m.MessageID = "a", 1, id
		speaks.write(m)
		if ack, ok := speaks.read().(*packets.PubackPacket); !ok || ack.MessageID != id {
			t.Fatalf("no acknowledgement: %v", ack)
		}
	}
	b.Deafen(true)
	speak(1)
	b.Deafen(false)
	speak(2)
	hears.read()
	hears.write(packets.NewControlPacket(packets.Pingreq))
	if next, ok := hears.read().(*packets.PingrespPacket); !ok {
		t.Errorf("what was said to a deaf broker was delivered: %v", next)
	}
}

func TestBrokerFrozenAnswersNothing(t *testing.T) {
	b := newBroker(t)
	p := dial(t, b, "peer")
	b.Freeze(true)
	p.write(packets.NewControlPacket(packets.Pingreq))
	if err := p.conn.SetReadDeadline(time.Now().Add(50 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if packet, err := packets.ReadPacket(p.in); err == nil {
		t.Errorf("a frozen broker said %v", packet)
	}
	if err := p.conn.SetReadDeadline(time.Now().Add(enough)); err != nil {
		t.Fatal(err)
	}
	b.Freeze(false)
	if _, ok := p.read().(*packets.PingrespPacket); !ok {
		t.Error("no answer after it thawed")
	}
}

// The library's own listener waits for ever here.
func TestBrokerStopsWhileClientsLeave(t *testing.T) {
	b := newBroker(t)
	for range 30 {
		var leaving sync.WaitGroup
		for i := range 20 {
			p := dial(t, b, fmt.Sprintf("peer-%d", i))
			leaving.Go(func() { _ = p.conn.Close() })
		}
		if err := b.Restart(); err != nil {
			t.Fatal(err)
		}
		leaving.Wait()
	}
}
