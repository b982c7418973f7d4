package mqtttunnel

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// session is one connection: a client of its own that is never connected again.
type session struct {
	*Tunnel
	client paho.Client
	hangUp context.CancelCauseFunc // closes the connection, whatever it does
	sink   tunnel.Sink
	lost   chan error // gets why the connection was lost, once
	heard  atomic.Int64
	probes string // the topic of messages to ourselves
	proves bool   // it may be subscribed; only Run's goroutine uses it

	// Tunnel.mu guards what follows; only serve's goroutine writes it.
	subscribed map[tunnel.BaseID]bool
}

// qos is at least once, as bases publish and subscribe.
const qos = 1

var errDeaf = errors.New("the broker delivers nothing")

// discover subscribes what every connection needs. Without discovery it is of no
// use.
func (s *session) discover(ctx context.Context) error {
	var filters []string
	for _, env := range s.cfg.Environments {
		filters = append(filters, arklet.Discovery(env)...)
		if s.cfg.Wildcards {
			filters = append(filters, arklet.Wildcards(env)...)
		}
		if s.cfg.ClearRetained {
			filters = append(filters, arklet.Retained(env)...)
		}
	}
	refused, err := s.subscribe(ctx, filters)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		return fmt.Errorf("subscribe: the broker refused %q; allow this user to read them", refused)
	}
	if refused, err = s.subscribe(ctx, []string{s.probes}); err != nil {
		return err
	}
	if _, err = s.subscribe(ctx, []string{goneTopic("+")}); err != nil { // a refusal costs a hint
		return err
	}
	if s.proves = len(refused) == 0; !s.proves {
		s.log.Warn("broker refused the probe topic: a broker that delivers nothing is not noticed", zap.String("topic", s.probes))
	}
	return nil
}

// serve keeps the followed bases subscribed and the connection proved, until it is
// lost or ctx ends.
func (s *session) serve(ctx context.Context) error {
	probe := time.NewTicker(s.cfg.ProbeEvery)
	defer probe.Stop()
	s.poke()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case err := <-s.lost:
			return fmt.Errorf("connection lost: %w", err)
		case <-s.wake:
			if err := s.resubscribe(ctx); err != nil {
				return err
			}
		case <-probe.C:
			if err := s.prove(); err != nil {
				return err
			}
			s.poke() // refused filters are tried again
		}
	}
}

// deafAfter is how many probes may go unheard.
const deafAfter = 3

// prove sends a message to ourselves when nothing was heard for a while.
func (s *session) prove() error {
	silent := time.Since(time.Unix(0, s.heard.Load()))
	if !s.proves || silent < s.cfg.ProbeEvery {
		return nil
	}
	if silent > deafAfter*s.cfg.ProbeEvery {
		return errDeaf
	}
	return s.publish(s.probes, nil)
}

// publish hands a message to the connection. It is never retained.
func (s *session) publish(topic string, body []byte) error {
	token := s.client.Publish(topic, qos, false, body)
	select {
	case <-token.Done():
		return token.Error() // refused at once, or written already
	default:
		return nil
	}
}

// hear takes a message in. It records and returns: the connection waits for it.
func (s *session) hear(m paho.Message) {
	now := time.Now()
	s.heard.Store(now.UnixNano())
	if m.Topic() == s.probes {
		return
	}
	if client, ok := goneClient(m.Topic()); ok {
		s.cfg.Gone(client)
		return
	}
	if m.Retained() {
		s.hearRetained(m)
		return
	}
	b, kind, err := arklet.ParseTopic(m.Topic())
	if err != nil {
		s.drop(m.Topic(), arklet.ReasonOf(err))
		return
	}
	announces := kind == arklet.KindHeart || kind == arklet.KindBaseline
	switch {
	case !s.envs[b.Env]:
		s.drop(m.Topic(), "unknown_env")
		return
	case !announces && !s.follows(b):
		s.drop(m.Topic(), "not_followed")
		return
	}
	msg, err := arklet.DecodeMQTT(b, kind, m.Payload())
	if err != nil {
		s.drop(m.Topic(), arklet.ReasonOf(err))
		return
	}
	s.deliver(b, kind, msg, now)
}

func (s *session) deliver(b tunnel.BaseID, kind arklet.Kind, msg arklet.Message, now time.Time) {
	switch {
	case msg.Heartbeat != nil:
		h := *msg.Heartbeat
		h.Tunnel, h.Received = Name, now
		if begun, ok := s.begun.Peek(b); ok && !h.Stamp.Before(begun) {
			s.begun.Remove(b)
			h.Restarted = h.Stamp.Sub(begun) < begins
		}
		s.sink.Heartbeat(h)
	case kind == arklet.KindBaseline:
		s.begun.Add(b, msg.Report.Stamp)
	default:
		r := *msg.Report
		r.Tunnel, r.Received = Name, now
		s.sink.Report(r)
	}
}

// begins is how long after its queryBaseline, by its own clock, a base says its first
// heartbeat at the latest; it takes 0.1 s. What is further apart came late, or again.
const begins = 5 * time.Second

func (s *session) drop(topic, reason string) {
	s.meter.Dropped(Name, reason)
	s.log.Debug("message dropped", zap.String("topic", topic), zap.String("reason", reason))
}

// hearRetained clears a command that was left retained, where that is wished for.
// A retained message of a base proves nothing: it may be years old.
func (s *session) hearRetained(m paho.Message) {
	if _, _, err := arklet.ParseTopic(m.Topic()); err == nil || !s.cfg.ClearRetained {
		s.drop(m.Topic(), "retained")
		return
	}
	if len(m.Payload()) == 0 {
		return
	}
	s.log.Info("retained command cleared", zap.String("topic", m.Topic()))
	s.client.Publish(m.Topic(), qos, true, []byte{}) // an empty retained message deletes the retained one
}
