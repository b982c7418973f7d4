package basetest

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
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
	p, code := dialAs(t, b, id, "", "")
	if code != 0 {
		t.Fatalf("connect: %d", code)
	}
	return p
}

// dialAs connects as a user, and gives what the broker answers: 0 that it lets him in.
func dialAs(t *testing.T, b *Broker, id, user, password string) (p *peer, code byte) {
	t.Helper()
	conn, err := net.Dial("tcp", b.Address())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(enough)); err != nil {
		t.Fatal(err)
	}
	p = &peer{t, conn, bufio.NewReader(conn)}
	c := packets.NewControlPacket(packets.Connect).(*packets.ConnectPacket)
	c.ProtocolName, c.ProtocolVersion, c.ClientIdentifier, c.CleanSession = "MQTT", 4, id, true
	c.Username, c.Password, c.UsernameFlag, c.PasswordFlag = user, []byte(password), user != "", user != ""
	p.write(c)
	ack, ok := p.read().(*packets.ConnackPacket)
	if !ok {
		t.Fatalf("connect: %v", ack)
	}
	return p, ack.ReturnCode
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

// With users, who has no password is not let in, and nobody does what is another's: a base neither
// hears another's commands, nor commands, and has no client id of a replica or another base.
func TestBrokerIsGuarded(t *testing.T) {
	b := newBroker(t)
	users, err := ReadUsers(strings.NewReader("b1:one\nb2:two\nmodule-controller:ours\n"))
	if err != nil {
		t.Fatal(err)
	}
	b.Guard(users.Ledger("dev"))
	var passed atomic.Int64
	b.Observe(func(Published) { passed.Add(1) })
	for what, c := range map[string]struct {
		id, user, password string
		in                 bool
	}{
		"a base":                       {"sim@@@b1-1", "b1", "one", true},
		"the controller":               {"module-controller-1", "module-controller", "ours", true},
		"nobody":                       {"sim@@@b1-1", "", "", false},
		"a stranger":                   {"sim@@@b3-1", "b3", "one", false},
		"a base with another password": {"sim@@@b1-1", "b1", "two", false},
		"a base with none":             {"sim@@@b1-1", "b1", "", false},
		"a base as a replica":          {"module-controller-1", "b1", "one", false},
		"a base as another":            {"sim@@@b2-1", "b1", "one", false},
	} {
		if _, code := dialAs(t, b, c.id, c.user, c.password); (code == 0) != c.in {
			t.Errorf("%s is answered %d", what, code)
		}
	}
	may := func(user string, topic string, write bool) bool {
		id := simClient(user) + "2"
		if user == ControllerUser {
			id = ControllerUser + "-2"
		}
		p, code := dialAs(t, b, id, user, users[user])
		if code != 0 {
			t.Fatalf("%s is answered %d", user, code)
		}
		if !write {
			return p.subscribe(1, topic) != 0x80
		}
		m := packets.NewControlPacket(packets.Publish).(*packets.PublishPacket)
		m.TopicName, m.Qos, m.MessageID = topic, 1, 1
		before := passed.Load()
		p.write(m)
		if ack, ok := p.read().(*packets.PubackPacket); !ok { // whether it passed or not
			t.Fatalf("%s publishes on %s: %v", user, topic, ack)
		}
		return passed.Load() > before
	}
	const reads, writes = false, true
	for _, c := range []struct {
		user, topic string
		how, may    bool
	}{
		{"b1", "koupleless_dev/b1/+", reads, true},
		{"b1", "koupleless_dev/b1/base/baseline", reads, true},
		{"b1", "koupleless_dev/b1/base/heart", writes, true},
		{"b1", "koupleless_dev/b1/installBiz", writes, false},
		{"b1", "koupleless_dev/b2/+", reads, false},
		{"b1", "koupleless_dev/b2/base/heart", writes, false},
		{"b1", "koupleless_other/b1/base/heart", writes, false},
		{"b1", "koupleless_dev/+/+", reads, false},
		{"b1", "#", reads, false},
		{"b1", "module-controller/x/gone", writes, false},
		{ControllerUser, "koupleless_dev/+/base/+", reads, true},
		{ControllerUser, "koupleless_dev/b1/base/heart", reads, true},
		{ControllerUser, "koupleless_dev/b1/installBiz", writes, true},
		{ControllerUser, "koupleless_dev/b1/base/baseline", writes, true},
		{ControllerUser, "koupleless_dev/b1/base/heart", writes, false},
		{ControllerUser, "module-controller/x/gone", writes, true},
		{ControllerUser, "koupleless_other/b1/installBiz", writes, false},
	} {
		if is := may(c.user, c.topic, c.how); is != c.may {
			t.Errorf("%s on %s, writing: %v: %v, want %v", c.user, c.topic, c.how, is, c.may)
		}
	}
}

// A fleet whose bases prove who they are is heard; the one with a wrong password is not.
func TestAFleetProvesWhoItIs(t *testing.T) {
	broker := newBroker(t)
	var heard sync.Map
	broker.Observe(func(m Published) { heard.Store(m.Topic, true) })
	broker.Guard(Users{"b1": "one", "b2": "two"}.Ledger("default"))
	sound, wrong := mustNew(t, Options{Identity: "b1"}), mustNew(t, Options{Identity: "b2"})
	during(t, func(ctx context.Context) error {
		(&MQTTFleet{Broker: broker.Address(), Bases: []*Base{wrong, sound}, Users: Users{"b1": "one", "b2": "one"}, Reconnect: 100 * time.Millisecond}).Run(ctx)
		return nil
	})
	await(t, "a heartbeat", func() bool {
		_, ok := heard.Load("koupleless_default/b1/base/heart")
		return ok
	})
	heard.Range(func(topic, _ any) bool {
		if !strings.HasPrefix(topic.(string), "koupleless_default/b1/") {
			t.Errorf("the base with a wrong password was heard on %s", topic)
		}
		return true
	})
}

func TestUsersAreRead(t *testing.T) {
	for text, sound := range map[string]bool{"a:b\n": true, "": true, "a:b:c": true, "a:b\na:c\n": false, "a\n": false, ":b\n": false, "a:\n": false} {
		if u, err := ReadUsers(strings.NewReader(text)); (err == nil) != sound {
			t.Errorf("%q: %v, %v", text, u, err)
		}
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
