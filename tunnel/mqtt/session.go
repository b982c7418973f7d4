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

// session is one connection, with a client of its own that never reconnects.
type session struct {
	*Tunnel
	client paho.Client
	hangUp context.CancelCauseFunc // closes the connection, whatever it does
	sink   tunnel.Sink
	lost   chan error // receives why the connection was lost, once

	lastReceived atomic.Int64 // when, in ns since 1970
	control      control

	// Only Run's goroutine uses what follows.
	probes           bool // the broker lets us subscribe them
	wildcardsRefused bool // the broker accepts no filters for all bases

	// Tunnel.mu guards what follows; only Run's goroutine writes it.
	subscribed map[tunnel.BaseID]bool
	wildcards  bool // the reports of all bases are subscribed
}

// qos is at least once, as bases publish and subscribe.
const qos = 1

var errDeaf = errors.New("broker delivers no messages")

// discover subscribes what every connection needs. A connection without discovery is
// useless: a refusal is an error.
func (s *session) discover(ctx context.Context) error {
	var filters []string
	for _, env := range s.cfg.Environments {
		filters = append(filters, arklet.Discovery(env)...)
		if s.cfg.ClearRetained {
			filters = append(filters, arklet.Retained(env)...)
		}
	}
	if s.wildcards {
		filters = append(filters, s.everyReport()...)
	}
	refused, err := s.subscribe(ctx, filters)
	if err != nil {
		return err
	}
	if len(refused) > 0 {
		return fmt.Errorf("subscribe: the broker refused %q; grant this user read access", refused)
	}
	if refused, err = s.subscribe(ctx, []string{s.control.probe}); err != nil {
		return err
	}
	if _, err = s.subscribe(ctx, []string{goneFilter}); err != nil { // a refusal costs a suspicion
		return err
	}
	if s.probes = len(refused) == 0; !s.probes {
		s.log.Warn("broker refused the probe topic: if it stops delivering, that goes undetected", zap.String("topic", ownTopics+"+"+probeEnd))
	}
	return nil
}

// serve keeps the followed bases subscribed and the connection probed, until it is lost
// or ctx ends.
func (s *session) serve(ctx context.Context) error {
	probe := time.NewTicker(s.cfg.ProbeEvery)
	defer probe.Stop()
	s.wakeUp()
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
			if err := s.probe(); err != nil {
				return err
			}
			s.wakeUp() // refused filters are tried again
		}
	}
}

// deafAfter is how many probes may go undelivered.
const deafAfter = 3

// probe sends a message to ourselves when nothing was received for a while.
func (s *session) probe() error {
	silent := time.Since(time.Unix(0, s.lastReceived.Load()))
	if !s.probes || silent < s.cfg.ProbeEvery {
		return nil
	}
	if silent > deafAfter*s.cfg.ProbeEvery {
		return errDeaf
	}
	return s.publish(s.control.probe, nil)
}

// publish hands a message to the connection. It is never retained.
func (s *session) publish(topic string, body []byte) error {
	token := s.client.Publish(topic, qos, false, body)
	select {
	case <-token.Done():
		return token.Error() // refused at once, or already written
	default:
		return nil
	}
}

// receive handles a message. It records and returns: the connection waits for it.
func (s *session) receive(m paho.Message) {
	now := time.Now()
	s.lastReceived.Store(now.UnixNano())
	switch {
	case m.Topic() == s.control.probe, m.Topic() == leftOut:
		return
	case isGone(m.Topic()):
		s.receiveGone(m)
		return
	case m.Retained():
		s.receiveRetained(m)
		return
	case arklet.IsBaseline(m.Topic()): // an answer, ours most likely
		return
	}
	b, kind, err := arklet.ParseTopic(m.Topic())
	if err != nil {
		s.drop(m.Topic(), arklet.ReasonOf(err), zap.Error(err))
		return
	}
	msg := received{base: b, kind: kind, topic: m.Topic(), payload: m.Payload(), at: now, sink: s.sink}
	followed := s.follows(b)
	if reason := s.refuse(msg, followed); reason != "" {
		s.drop(m.Topic(), reason)
		return
	}
	s.enqueue(msg, followed)
}

// refuse gives why a message is not worth decoding, empty if it is.
func (t *Tunnel) refuse(m received, followed bool) string {
	switch {
	case !t.envs[m.base.Env]:
		return "unknown_env"
	case !m.announces() && !followed:
		return "not_followed"
	case m.announces() && len(m.payload) > maxAnnouncement:
		return "too_large"
	}
	return ""
}

// restartWindow is the longest time between a base's queryBaseline and its first
// heartbeat, by its own clock; it takes 0.1 s. A queryBaseline that is further away was
// delivered late, or twice.
const restartWindow = 5 * time.Second

// receiveRetained clears a command that another controller left retained, if that is
// configured. A retained message of a base proves nothing: it may be years old.
func (s *session) receiveRetained(m paho.Message) {
	if _, _, err := arklet.ParseTopic(m.Topic()); err == nil || !s.cfg.ClearRetained {
		s.drop(m.Topic(), "retained")
		return
	}
	if len(m.Payload()) == 0 {
		return
	}
	s.log.Info("cleared retained command", zap.String("topic", ShownTopic(m.Topic())))
	s.client.Publish(m.Topic(), qos, true, []byte{}) // an empty retained message deletes the retained one
}
