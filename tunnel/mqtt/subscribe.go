package mqtttunnel

import (
	"context"
	"errors"
	"fmt"
	"slices"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// batch is how many filters one SUBSCRIBE carries.
const batch = 200

// refusedQoS is the code of a filter that the broker did not accept.
const refusedQoS = 0x80

// errNoResult: a connection whose subscriptions are unknown is useless.
var errNoResult = errors.New("subscribe: acknowledgement carries no result")

// subscribe subscribes filters and gives those that the broker refused.
func (s *session) subscribe(ctx context.Context, filters []string) (refused []string, err error) {
	for some := range slices.Chunk(filters, batch) {
		want := map[string]byte{}
		for _, f := range some {
			want[f] = qos
		}
		token := s.client.SubscribeMultiple(want, nil)
		if err := s.wait(ctx, token, "subscribe"); err != nil {
			return nil, err // paho may be writing the result now
		}
		sub, ok := token.(*paho.SubscribeToken)
		if !ok {
			return nil, fmt.Errorf("subscribe: token is a %T", token)
		}
		granted := sub.Result()
		if len(granted) == 0 {
			return nil, errNoResult
		}
		for _, f := range some {
			if code, ok := granted[f]; !ok || code >= refusedQoS {
				refused = append(refused, f)
			}
		}
	}
	return refused, nil
}

// resubscribe makes the subscriptions those of the followed bases. What the broker
// refuses is tried again after the next probe.
func (s *session) resubscribe(ctx context.Context) error {
	if s.cfg.Wildcards {
		return nil
	}
	add, remove := s.differences()
	if err := s.unsubscribe(ctx, remove); err != nil {
		return err
	}
	filters := make([]string, 0, len(add))
	byFilter := map[string]tunnel.BaseID{}
	for _, b := range add {
		f := arklet.Reports(b)
		filters = append(filters, f)
		byFilter[f] = b
	}
	refused, err := s.subscribe(ctx, filters)
	if err != nil {
		return err
	}
	for _, f := range refused {
		s.meter.Dropped(Name, "subscription_refused")
		s.log.Warn("broker refused a base's filter; grant this user read access", zap.String("filter", f))
		delete(byFilter, f)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, b := range byFilter {
		s.subscribed[b] = true
	}
	return nil
}

func (s *session) differences() (add, remove []tunnel.BaseID) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	for b := range s.followed {
		if !s.subscribed[b] {
			add = append(add, b)
		}
	}
	for b := range s.subscribed {
		if _, ok := s.followed[b]; !ok {
			remove = append(remove, b)
		}
	}
	return add, remove
}

func (s *session) unsubscribe(ctx context.Context, bases []tunnel.BaseID) error {
	for some := range slices.Chunk(bases, batch) {
		filters := make([]string, 0, len(some))
		s.mu.Lock()
		for _, b := range some {
			filters = append(filters, arklet.Reports(b))
			delete(s.subscribed, b)
		}
		s.mu.Unlock()
		if err := s.wait(ctx, s.client.Unsubscribe(filters...), "unsubscribe"); err != nil {
			return err
		}
	}
	return nil
}
