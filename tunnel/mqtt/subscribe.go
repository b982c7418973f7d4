package mqtttunnel

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// maxBatch is how many filters one SUBSCRIBE carries, where the broker takes so many.
const maxBatch = 200

// batch is how many filters one SUBSCRIBE carries. It is kept over connections, for some
// brokers end a connection on which they are asked for more.
type batch struct {
	size   atomic.Int32
	proven atomic.Int32 // so many were acknowledged once
}

// halve has the next batches carry half of so many filters, where these may have been
// too many for the broker.
func (b *batch) halve(filters int) (halved bool) {
	if filters <= max(1, int(b.proven.Load())) {
		return false
	}
	b.size.Store(int32(filters / 2))
	return true
}

// refusedQoS is the code of a filter that the broker did not accept.
const refusedQoS = 0x80

var (
	// errNoResult: a connection whose subscriptions are unknown is useless.
	errNoResult = errors.New("subscribe: acknowledgement carries no result")
	// errBatch: the next connection asks for fewer filters at a time.
	errBatch = errors.New("the broker may not take so many filters at a time")
)

// subscribe subscribes filters and gives those that the broker refused. One that is
// refused among others is tried by itself, and if that is accepted the others are too, in
// smaller batches.
func (s *session) subscribe(ctx context.Context, filters []string) (refused []string, err error) {
	mayBeMany := true // nobody knows yet whether filters are refused for being many
	for len(filters) > 0 {
		some := filters[:min(len(filters), int(s.batch.size.Load()))]
		filters = filters[len(some):]
		no, err := s.subscribeBatch(ctx, some)
		if err != nil {
			return nil, err
		}
		if len(no) == 0 || len(some) == 1 || !mayBeMany {
			refused = append(refused, no...)
			continue
		}
		alone, err := s.subscribeBatch(ctx, no[:1])
		if err != nil {
			return nil, err
		}
		if mayBeMany = len(alone) == 0; !mayBeMany {
			refused = append(refused, no...)
			continue
		}
		s.batch.size.Store(int32(len(some) / 2))
		s.log.Warn("broker refuses filters for being many: subscribing fewer at a time", zap.Int("filters", len(some)/2))
		filters = slices.Concat(no[1:], filters)
	}
	return refused, nil
}

// subscribeBatch subscribes filters with one SUBSCRIBE and gives those that were refused.
func (s *session) subscribeBatch(ctx context.Context, filters []string) (refused []string, err error) {
	want := map[string]byte{}
	for _, f := range filters {
		want[f] = qos
	}
	token := s.client.SubscribeMultiple(want, nil)
	if err := s.wait(ctx, token, "subscribe"); err != nil { // paho may be writing the result now
		if ctx.Err() == nil && s.batch.halve(len(filters)) {
			err = fmt.Errorf("%w (%d, the next connection tries %d): %w", errBatch, len(filters), s.batch.size.Load(), err)
		}
		return nil, err
	}
	sub, ok := token.(*paho.SubscribeToken)
	if !ok {
		return nil, fmt.Errorf("subscribe: token is a %T", token)
	}
	granted := sub.Result()
	if len(granted) == 0 {
		return nil, errNoResult
	}
	s.batch.proven.Store(max(s.batch.proven.Load(), int32(len(filters))))
	for _, f := range filters {
		if code, ok := granted[f]; !ok || code >= refusedQoS {
			refused = append(refused, f)
		}
	}
	return refused, nil
}

// resubscribe makes the subscriptions those of the followed bases. What the broker
// refuses is tried again after the next probe, or it has the reports of all bases
// subscribed if that is many.
func (s *session) resubscribe(ctx context.Context) error {
	if s.wildcards {
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
	s.tellRefused(refused)
	for _, f := range refused {
		delete(byFilter, f)
	}
	s.mu.Lock()
	for _, b := range byFilter {
		s.subscribed[b] = true
	}
	s.mu.Unlock()
	if len(refused) > maxRefused && !s.wildcardsRefused {
		return s.subscribeAll(ctx, len(refused))
	}
	return nil
}

// subscriptionRefused is why nothing is heard of a base whose filter the broker refused.
const subscriptionRefused = "subscription_refused"

// tellRefused counts filters of bases that the broker refused, and tells of them.
func (s *session) tellRefused(filters []string) {
	for _, f := range filters {
		s.meter.Dropped(Name, subscriptionRefused)
		env, identity := arklet.Speaker(f)
		s.refusals.Tell("broker refused filters of bases, which are not served: grant this user read access or more subscriptions",
			subscriptionRefused, env+"/"+identity, zap.Int("filters", len(filters)), zap.String("one", f),
			zap.String("env", env), zap.String("identity", identity), zap.String("remedy", remedies[subscriptionRefused]))
	}
}

// maxRefused is how many filters of bases a broker may refuse before it is taken to allow
// too few for a filter each.
const maxRefused = 3

// subscribeAll has this connection hear the reports of all bases, for a broker that
// refuses a filter for each. It makes room for that first.
func (s *session) subscribeAll(ctx context.Context, refused int) error {
	s.mu.RLock()
	var subscribed []tunnel.BaseID
	for b := range s.subscribed {
		subscribed = append(subscribed, b)
	}
	s.mu.RUnlock()
	if err := s.unsubscribe(ctx, subscribed); err != nil {
		return err
	}
	all := s.everyReport()
	no, err := s.subscribe(ctx, all)
	if err != nil {
		return err
	}
	if len(no) > 0 {
		s.log.Error("broker refuses filters of single bases and of all: these bases are not served; allow this user more subscriptions",
			zap.Int("bases", refused), zap.Strings("refused", no))
		s.wildcardsRefused = true
		s.wakeUp() // what was given up is subscribed again
		return s.unsubscribeFilters(ctx, slices.DeleteFunc(all, func(f string) bool { return slices.Contains(no, f) }))
	}
	s.log.Warn("broker allows too few subscriptions for a filter each base: hearing all bases on this connection; set MQTT_WILDCARDS to begin with that",
		zap.Int("refused", refused), zap.Int("accepted", len(subscribed)))
	s.mu.Lock()
	s.wildcards = true
	s.mu.Unlock()
	return nil
}

// everyReport gives the filters for the reports of all bases.
func (s *session) everyReport() (filters []string) {
	for _, env := range s.cfg.Environments {
		filters = append(filters, arklet.Wildcards(env)...)
	}
	return filters
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
	filters := make([]string, 0, len(bases))
	s.mu.Lock()
	for _, b := range bases {
		filters = append(filters, arklet.Reports(b))
		delete(s.subscribed, b)
	}
	s.mu.Unlock()
	return s.unsubscribeFilters(ctx, filters)
}

func (s *session) unsubscribeFilters(ctx context.Context, filters []string) error {
	for some := range slices.Chunk(filters, int(s.batch.size.Load())) {
		if err := s.wait(ctx, s.client.Unsubscribe(some...), "unsubscribe"); err != nil {
			return err
		}
	}
	return nil
}
