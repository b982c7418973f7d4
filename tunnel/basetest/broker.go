package basetest

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/packets"
)

// Broker is an embedded MQTT broker that accepts every client unless configured
// otherwise. It keeps its address and its retained messages over Stop and Start.
type Broker struct {
	mu sync.Mutex
	// mu guards what follows
	server   *mochi.Server // nil while stopped
	address  string
	retained []packets.Packet // while stopped
	admit    func(user, password string) bool
	secure   *tls.Config
	deny     func(topic string) bool
	ledger   *auth.Ledger
	limits   Limits
	observe  func(Published)
	greet    func(client string)
	deaf     bool
	thaw     chan struct{} // closed when the broker is no longer frozen; nil while it is not
}

// Published is one message that a client sent to the broker.
type Published struct {
	At      time.Time
	Client  string // its client id
	Topic   string
	Payload []byte
	Retain  bool
}

// NewBroker makes a broker for an address, host:port; port 0 takes a free one. It
// starts nothing.
func NewBroker(address string) *Broker { return &Broker{address: address} }

// StartBroker starts a broker on an address, host:port; port 0 takes a free one.
func StartBroker(address string) (*Broker, error) {
	b := NewBroker(address)
	return b, b.Start()
}

// Address is where the broker listens, host:port.
func (b *Broker) Address() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.address
}

// Start starts a broker that was stopped.
func (b *Broker) Start() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.server != nil {
		return errors.New("start broker: it runs")
	}
	s := mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), InlineClient: true})
	// Thousands of bases speak at once.
	s.Options.Capabilities.MaximumInflight, s.Options.Capabilities.ReceiveMaximum = 1<<15, 1<<15
	s.Options.Capabilities.MaximumClientWritesPending = 1 << 16
	if err := s.AddHook(&hook{broker: b}, nil); err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	address, err := b.listenAt()
	if err != nil {
		return fmt.Errorf("start broker: %w", err)
	}
	l := &listener{address: address, secure: b.secure}
	if err := s.AddListener(l); err != nil {
		return fmt.Errorf("start broker on %s: %w", b.address, err)
	}
	for _, pk := range b.retained {
		s.Topics.RetainMessage(pk)
	}
	if err := s.Serve(); err != nil {
		return fmt.Errorf("start broker on %s: %w", b.address, err)
	}
	b.server, b.address, b.retained = s, l.Address(), nil
	return nil
}

// listenAt is the broker's address, with a port that stays free while it is stopped.
func (b *Broker) listenAt() (string, error) {
	host, port, err := net.SplitHostPort(b.address)
	if err != nil || port != "0" {
		return b.address, err
	}
	return FreeAddress(host)
}

// Stop ends the broker and all connections.
func (b *Broker) Stop() error {
	b.Freeze(false)
	b.mu.Lock()
	s := b.server
	if s != nil {
		b.retained = s.Topics.Messages("#")
	}
	b.server = nil
	b.mu.Unlock()
	if s == nil {
		return nil
	}
	return s.Close()
}

// Restart stops the broker and starts it again.
func (b *Broker) Restart() error { return errors.Join(b.Stop(), b.Start()) }

// Wipe restarts the broker without its retained messages.
func (b *Broker) Wipe() error {
	err := b.Stop()
	b.mu.Lock()
	b.retained = nil
	b.mu.Unlock()
	return errors.Join(err, b.Start())
}

// Admit has the broker refuse connections that admit does not accept; nil accepts all.
func (b *Broker) Admit(admit func(user, password string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.admit = admit
}

// Guard has the broker let in only whom a ledger names, and permit only what it does; nil
// lets everybody do everything. A message that is not permitted is acknowledged and goes
// nowhere, as at Mosquitto. NB: last wills are not judged.
func (b *Broker) Guard(l *auth.Ledger) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ledger = l
}

// Secure has the broker speak TLS from its next start on.
func (b *Broker) Secure(cfg *tls.Config) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.secure = cfg
}

// Deny has the broker refuse subscriptions to the filters that deny names; nil
// refuses none.
func (b *Broker) Deny(deny func(filter string) bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deny = deny
}

// Observe has observe called with each message that a client sends and may send, from the client's
// goroutine.
func (b *Broker) Observe(observe func(Published)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.observe = observe
}

// Greet has greet called with the id of each client that is let in, before the client
// is answered and before a connection of the same id is ended.
func (b *Broker) Greet(greet func(client string)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.greet = greet
}

// Deafen makes the broker accept and acknowledge everything and deliver nothing.
func (b *Broker) Deafen(deaf bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.deaf = deaf
}

// Freeze makes the broker accept connections and answer nothing, as if its process
// stood still.
func (b *Broker) Freeze(frozen bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch {
	case frozen && b.thaw == nil:
		b.thaw = make(chan struct{})
	case !frozen && b.thaw != nil:
		close(b.thaw)
		b.thaw = nil
	}
}

// Retained gives the topics of all retained messages but the broker's own.
func (b *Broker) Retained() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := b.retained
	if b.server != nil {
		all = b.server.Topics.Messages("#")
	}
	var topics []string
	for _, m := range all {
		topics = append(topics, m.TopicName)
	}
	return topics
}

// Publish sends a message to everybody who subscribed its topic.
func (b *Broker) Publish(topic string, payload []byte, retain bool) error {
	b.mu.Lock()
	s := b.server
	b.mu.Unlock()
	if s == nil {
		return errors.New("publish: the broker is stopped")
	}
	return s.Publish(topic, payload, retain, 1)
}

// hook accepts every client, and applies what the broker was configured to do.
type hook struct {
	auth.AllowHook
	broker *Broker
}

func (h *hook) Provides(b byte) bool {
	switch b {
	case mochi.OnPublish, mochi.OnPacketRead, mochi.OnSessionEstablish, mochi.OnSubscribe:
		return true
	}
	return h.AllowHook.Provides(b)
}

func (h *hook) OnConnectAuthenticate(c *mochi.Client, pk packets.Packet) bool {
	h.broker.mu.Lock()
	admit, ledger := h.broker.admit, h.broker.ledger
	h.broker.mu.Unlock()
	if ledger != nil {
		if _, ok := ledger.AuthOk(c, pk); !ok {
			return false
		}
	}
	return admit == nil || admit(string(pk.Connect.Username), string(pk.Connect.Password))
}

func (h *hook) OnSessionEstablish(c *mochi.Client, _ packets.Packet) {
	h.broker.mu.Lock()
	greet := h.broker.greet
	h.broker.mu.Unlock()
	if greet != nil {
		greet(c.ID)
	}
}

func (h *hook) OnACLCheck(c *mochi.Client, topic string, write bool) bool {
	h.broker.mu.Lock()
	deny, ledger := h.broker.deny, h.broker.ledger
	h.broker.mu.Unlock()
	if write { // OnPublish judges it: what is refused here ends the connection
		return true
	}
	if ledger != nil {
		if _, ok := ledger.ACLOk(c, topic, false); !ok {
			return false
		}
	}
	return deny == nil || !deny(topic)
}

func (h *hook) OnPublish(c *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	h.broker.mu.Lock()
	observe, deaf, ledger := h.broker.observe, h.broker.deaf, h.broker.ledger
	h.broker.mu.Unlock()
	if ledger != nil && !c.Net.Inline {
		if _, ok := ledger.ACLOk(c, pk.TopicName, true); !ok {
			return pk, packets.CodeSuccessIgnore
		}
	}
	if observe != nil {
		observe(Published{At: time.Now(), Client: c.ID, Topic: pk.TopicName, Payload: pk.Payload, Retain: pk.FixedHeader.Retain})
	}
	if deaf {
		return pk, packets.CodeSuccessIgnore
	}
	return pk, nil
}

// OnPacketRead also mends what this library does wrong: it refuses a subscription
// whose packet id is that of a message on its way to the client, although the two
// sides choose their ids without each other.
func (h *hook) OnPacketRead(c *mochi.Client, pk packets.Packet) (packets.Packet, error) {
	h.broker.mu.Lock()
	thaw := h.broker.thaw
	h.broker.mu.Unlock()
	if thaw != nil {
		<-thaw
	}
	subscribes := pk.FixedHeader.Type == packets.Subscribe || pk.FixedHeader.Type == packets.Unsubscribe
	if subscribes && c.State.Inflight.Delete(pk.PacketID) { // it was sent, and sessions do not outlive connections
		c.State.Inflight.IncreaseSendQuota()
	}
	return pk, nil
}
