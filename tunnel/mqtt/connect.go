package mqtttunnel

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/zap"

	"module-controller/tunnel"
)

// dial makes a connection. One that fails leaves nothing behind.
func (t *Tunnel) dial(ctx context.Context, sink tunnel.Sink) (*session, error) {
	s := &session{
		Tunnel: t, sink: sink, lost: make(chan error, 1), subscribed: map[tunnel.BaseID]bool{},
		control: newControl(), wildcards: t.cfg.Wildcards,
	}
	// The connection outlives ctx by the moment in which it is closed properly.
	open, hangUp := context.WithCancelCause(context.WithoutCancel(ctx))
	s.hangUp = hangUp
	o, err := t.options(open, t.cfg.ClientID, s.control.probe)
	if err != nil {
		hangUp(nil)
		return nil, err
	}
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { s.receive(m) }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost <- err }).
		SetBinaryWill(s.control.gone, []byte(s.control.secret), qos, false)
	t.cfg.Will(hashOf([]byte(s.control.secret)))
	s.client = paho.NewClient(o)
	keep := context.AfterFunc(ctx, func() { hangUp(nil) })
	err = s.wait(ctx, s.client.Connect(), "connect to broker")
	keep()
	if err != nil {
		s.close()
		return nil, err
	}
	s.lastReceived.Store(time.Now().UnixNano())
	return s, nil
}

// Evict has the broker close the connection of a client id and drop what it still had
// to send, by connecting with that id once. It returns ctx's error if that ends first.
func (t *Tunnel) Evict(ctx context.Context, clientID string) error {
	open, hangUp := context.WithCancelCause(ctx)
	defer hangUp(nil)
	o, err := t.options(open, clientID, newControl().probe)
	if err != nil {
		return err
	}
	s := &session{Tunnel: t, lost: make(chan error, 1), client: paho.NewClient(o), hangUp: hangUp}
	defer s.close()
	if err := s.wait(ctx, s.client.Connect(), "evict "+clientID); err != nil {
		return err
	}
	t.log.Info("evicted client from the broker", zap.String("clientID", clientID))
	return nil
}

// options are those of a client for one connection, which ends with open: it never
// reconnects, stores nothing and repeats nothing. The files that the configuration
// names are read now. Probe is the topic of its messages to itself.
func (t *Tunnel) options(open context.Context, clientID, probe string) (*paho.ClientOptions, error) {
	login := t.cfg.login()
	password, err := login.password()
	if err != nil {
		return nil, err
	}
	secure, err := t.cfg.tls()
	if err != nil {
		return nil, err
	}
	return paho.NewClientOptions().AddBroker(t.cfg.address()).SetClientID(clientID).
		SetUsername(login.Username).SetPassword(password).
		SetProtocolVersion(4).SetCleanSession(true).SetStore(paho.NewMemoryStore()).
		SetAutoReconnect(false).SetConnectRetry(false).SetResumeSubs(false).SetOrderMatters(true).
		SetKeepAlive(t.cfg.KeepAlive).SetPingTimeout(t.cfg.PingTimeout).
		SetConnectTimeout(t.cfg.Timeout).SetWriteTimeout(t.cfg.Timeout).
		SetCustomOpenConnectionFn(func(*url.URL, paho.ClientOptions) (net.Conn, error) {
			return t.open(open, secure, probe)
		}), nil
}

// errLost is the cause of an end that drops what was written and not yet sent.
var errLost = errors.New("connection given up")

// open opens a connection that is closed when ctx ends. Messages on the topic probe need
// no permission.
func (t *Tunnel) open(ctx context.Context, secure *tls.Config, probe string) (net.Conn, error) {
	limited, cancel := context.WithTimeout(ctx, t.cfg.Timeout)
	defer cancel()
	dial := (&net.Dialer{}).DialContext
	if secure != nil {
		dial = (&tls.Dialer{Config: secure}).DialContext
	}
	conn, err := dial(limited, "tcp", t.cfg.hostPort())
	if err != nil {
		return nil, err
	}
	context.AfterFunc(ctx, func() {
		if errors.Is(context.Cause(ctx), errLost) {
			drop(conn)
		}
		_ = conn.Close()
	})
	in := &bounded{in: bufio.NewReaderSize(conn, wireBuffer), max: t.cfg.MaxPacket, cut: t.cut}
	return &wire{
		Conn: conn, in: in, timeout: t.cfg.Timeout, gate: t.cfg.Gate, free: []byte(probe), log: t.log,
	}, nil
}

// drop has the system discard what it would still send after the close: a late command
// may reach a base after those of its next owner.
func drop(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // a connection that is gone already has nothing to forget
	}
}

const wireBuffer = 64 << 10 // bytes

// wire is the connection to the broker, where bytes leave. The library limits only some
// of its writes and reads a byte at a time.
type wire struct {
	net.Conn
	in      io.Reader     // bounded
	timeout time.Duration // of one write
	gate    tunnel.Gate
	free    []byte // the topic that needs no permission: messages to ourselves
	log     *zap.Logger
}

func (w *wire) Read(p []byte) (int, error) { return w.in.Read(p) }

// Write writes one packet; the library writes each with one call. A command is dropped
// while the gate is shut: the connection stays, so that receiving goes on, and the
// command is lost, as messages may be.
func (w *wire) Write(p []byte) (int, error) {
	if topic, ok := published(p); ok && !bytes.Equal(topic, w.free) && !w.gate.Valid() {
		w.log.Warn("dropped message to a base", zap.Error(tunnel.ErrShut), zap.ByteString("topic", topic))
		return len(p), nil
	}
	if err := w.SetWriteDeadline(time.Now().Add(w.timeout)); err != nil {
		return 0, err
	}
	return w.Conn.Write(p)
}

// published gives the topic of a packet that publishes a message; MQTT 3.1.1,
// sections 2.2 and 3.3.
func published(packet []byte) (topic []byte, ok bool) {
	const publish = 3
	if len(packet) < 2 || packet[0]>>4 != publish {
		return nil, false
	}
	_, n := binary.Uvarint(packet[1:]) // the remaining length is written as a varint
	if rest := packet[1+max(n, 0):]; n > 0 && len(rest) >= 2 {
		if size := int(binary.BigEndian.Uint16(rest)); len(rest) >= 2+size {
			return rest[2 : 2+size], true
		}
	}
	return nil, true
}

// wait waits for the broker's acknowledgement, at most twice Config.Timeout.
func (s *session) wait(ctx context.Context, token paho.Token, what string) error {
	timer := time.NewTimer(2 * s.cfg.Timeout)
	defer timer.Stop()
	select {
	case <-token.Done():
		if err := token.Error(); err != nil {
			return fmt.Errorf("%s: %w", what, err)
		}
		return nil
	case err := <-s.lost:
		s.lost <- err
		return fmt.Errorf("%s: connection lost: %w", what, err)
	case <-timer.C:
		return fmt.Errorf("%s: no answer within %s", what, 2*s.cfg.Timeout)
	case <-ctx.Done():
		return ctx.Err()
	}
}

// goodbye is how long the last packets may take to be written, in ms.
const goodbye = 50

// close ends the connection and waits until what it started has ended.
func (s *session) close() {
	s.client.Disconnect(goodbye)
	s.hangUp(nil)
}

// giveUp ends the connection at once, and drops what was not sent.
func (s *session) giveUp() { s.hangUp(errLost) }
