package attacker

import (
	"context"
	"errors"
	"fmt"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Publisher is a client of a broker that may publish where it likes.
type Publisher struct{ client paho.Client }

// errSlow: the broker acknowledged nothing.
var errSlow = errors.New("no acknowledgement of the broker")

// Connect connects to a broker, host:port. Who gets a Publisher must close it.
func Connect(ctx context.Context, broker, clientID string) (*Publisher, error) {
	o := paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(clientID).SetAutoReconnect(false).SetCleanSession(true).
		SetConnectTimeout(10 * time.Second)
	p := &Publisher{paho.NewClient(o)}
	return p, done(ctx, p.client.Connect(), "connect")
}

// Publish publishes a message with QoS 1 and waits until the broker has it.
func (p *Publisher) Publish(ctx context.Context, topic string, body []byte, retained bool) error {
	return done(ctx, p.client.Publish(topic, 1, retained, body), "publish on "+topic)
}

// Throw publishes a message with QoS 0 and waits for nothing but its write.
func (p *Publisher) Throw(topic string, body []byte) { p.client.Publish(topic, 0, false, body) }

func done(ctx context.Context, token paho.Token, what string) error {
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return fmt.Errorf("%s: %w", what, errSlow)
	}
}

// Close ends the connection.
func (p *Publisher) Close() { p.client.Disconnect(50) }
