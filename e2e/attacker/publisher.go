package attacker

import (
	"context"
	"errors"
	"fmt"
	"net"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"github.com/eclipse/paho.mqtt.golang/packets"
)

// Publisher is a client of a broker that may publish where it likes.
type Publisher struct{ client paho.Client }

// errSlow: the broker acknowledged nothing.
var errSlow = errors.New("no acknowledgement of the broker")

// Connect connects to a broker, host:port, as nobody. Who gets a Publisher must close it.
func Connect(ctx context.Context, broker, clientID string) (*Publisher, error) {
	return ConnectAs(ctx, broker, clientID, "", "")
}

// ConnectAs connects as a user of the broker. An error says that he was not let in, or that there
// is no broker.
func ConnectAs(ctx context.Context, broker, clientID, user, password string) (*Publisher, error) {
	o := paho.NewClientOptions().AddBroker("tcp://" + broker).SetClientID(clientID).SetAutoReconnect(false).SetCleanSession(true).
		SetConnectTimeout(10 * time.Second).SetUsername(user).SetPassword(password)
	p := &Publisher{paho.NewClient(o)}
	return p, done(ctx, p.client.Connect(), "connect")
}

// Publish publishes a message with QoS 1 and waits until the broker has it.
func (p *Publisher) Publish(ctx context.Context, topic string, body []byte, retained bool) error {
	return done(ctx, p.client.Publish(topic, 1, retained, body), "publish on "+topic)
}

// Listen subscribes to a topic, and says whether the broker lets it.
func (p *Publisher) Listen(ctx context.Context, topic string) (bool, error) {
	t := p.client.Subscribe(topic, 1, nil)
	if err := done(ctx, t, "subscribe to "+topic); err != nil {
		return false, err
	}
	subscribed, ok := t.(*paho.SubscribeToken)
	return ok && subscribed.Result()[topic] < refused, nil
}

// refused is what a broker grants where it grants nothing.
const refused = 0x80

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

// PublishAnywhere publishes with QoS 1 on a topic that no client library takes, such as
// one with a wildcard, on a connection of its own. An error says that the broker did not
// take it.
func PublishAnywhere(ctx context.Context, broker, clientID, topic string, body []byte) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", broker)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer func() { _ = conn.Close() }()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	connect := &packets.ConnectPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Connect}, ProtocolName: "MQTT", ProtocolVersion: 4, ClientIdentifier: clientID, CleanSession: true,
	}
	publish := &packets.PublishPacket{
		FixedHeader: packets.FixedHeader{MessageType: packets.Publish, Qos: 1}, TopicName: topic, MessageID: 1, Payload: body,
	}
	for _, packet := range []packets.ControlPacket{connect, publish} {
		if err := packet.Write(conn); err != nil {
			return fmt.Errorf("write %s: %w", packet, err)
		}
		if _, err := packets.ReadPacket(conn); err != nil { // CONNACK, PUBACK
			return fmt.Errorf("read what %s is answered: %w", packet, err)
		}
	}
	return nil
}
