package tunneltest

import (
	"fmt"
	"io"
	"log/slog"

	mochi "github.com/mochi-mqtt/server/v2"
	"github.com/mochi-mqtt/server/v2/hooks/auth"
	"github.com/mochi-mqtt/server/v2/listeners"
)

// Broker is an embedded MQTT broker that lets everybody in.
type Broker struct {
	server *mochi.Server
	// Deny refuses subscriptions to topics; nil refuses none.
	Deny func(topic string) bool
}

// StartBroker starts a broker on an address, host:port.
func StartBroker(address string) (*Broker, error) {
	b := &Broker{}
	b.server = mochi.New(&mochi.Options{Logger: slog.New(slog.NewTextHandler(io.Discard, nil)), InlineClient: true})
	b.server.Options.Capabilities.MaximumInflight = 1 << 15
	b.server.Options.Capabilities.ReceiveMaximum = 1 << 15
	b.server.Options.Capabilities.MaximumClientWritesPending = 1 << 16
	if err := b.server.AddHook(&hook{broker: b}, nil); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	if err := b.server.AddListener(listeners.NewTCP(listeners.Config{ID: "tcp", Address: address})); err != nil {
		return nil, fmt.Errorf("start broker on %s: %w", address, err)
	}
	if err := b.server.Serve(); err != nil {
		return nil, fmt.Errorf("start broker: %w", err)
	}
	return b, nil
}

// Stop ends the broker and all connections.
func (b *Broker) Stop() error { return b.server.Close() }

// Retained gives the topics of all retained messages.
func (b *Broker) Retained() []string {
	var topics []string
	for _, m := range b.server.Topics.Messages("#") {
		topics = append(topics, m.TopicName)
	}
	return topics
}

// Publish sends a message to everybody who subscribed its topic.
func (b *Broker) Publish(topic string, payload []byte, retain bool) error {
	return b.server.Publish(topic, payload, retain, 1)
}

// hook lets everybody in, and refuses the subscriptions that are denied.
type hook struct {
	auth.AllowHook
	broker *Broker
}

func (h *hook) OnACLCheck(_ *mochi.Client, topic string, write bool) bool {
	return write || h.broker.Deny == nil || !h.broker.Deny(topic)
}
