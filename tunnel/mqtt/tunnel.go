package mqtttunnel

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"

	"module-controller/internal/refusals"
	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// Name is the tunnel's name on Nodes.
const Name = "mqtt_tunnel_provider"

// Tunnel is the connection to a broker and the bases that are followed through it.
type Tunnel struct {
	cfg   Config
	log   *zap.Logger
	meter tunnel.Meter
	envs  map[string]bool
	wake  chan struct{} // a base was followed or unfollowed
	// restarts holds when a base sent queryBaseline, by its own clock, until its next
	// heartbeat.
	restarts *lru.Cache[tunnel.BaseID, time.Time]
	refusals *refusals.Log
	decoders *decoders
	large    *largeMessages
	batch    batch

	mu sync.RWMutex
	// mu guards what follows
	followed map[tunnel.BaseID]struct{}
	current  *session // nil while the link is down
}

// maxRestarts is how many bases may be between queryBaseline and heartbeat: 0.1 s.
const maxRestarts = 4096

// New checks the configuration, completed with defaults, and makes a Tunnel. It
// starts nothing.
func New(cfg Config, log *zap.Logger, meter tunnel.Meter) (*Tunnel, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure MQTT tunnel: %w", err)
	}
	restarts, err := lru.New[tunnel.BaseID, time.Time](maxRestarts)
	if err != nil {
		return nil, fmt.Errorf("configure MQTT tunnel: %w", err)
	}
	t := &Tunnel{
		cfg: cfg, log: log, meter: meter, envs: map[string]bool{}, restarts: restarts,
		wake: make(chan struct{}, 1), followed: map[tunnel.BaseID]struct{}{},
	}
	t.decoders, t.large, t.refusals = newDecoders(t.decode), newLargeMessages(), refusals.New(log)
	t.batch.size.Store(maxBatch)
	for _, env := range cfg.Environments {
		t.envs[env] = true
	}
	return t, nil
}

// Name implements tunnel.Tunnel.
func (t *Tunnel) Name() string { return Name }

// Run implements tunnel.Tunnel.
func (t *Tunnel) Run(ctx context.Context, sink tunnel.Sink) error {
	var decoding sync.WaitGroup
	decoding.Go(func() { t.decoders.run(ctx) })
	defer decoding.Wait()
	again := retry{ceiling: backOffBase}
	var cut time.Time
	for ctx.Err() == nil {
		if err := t.cfg.Gate.Fresh(ctx, cut); err != nil {
			return nil // ctx ended
		}
		pause := t.once(ctx, sink, &again)
		cut = time.Now()
		select {
		case <-time.After(pause):
		case <-ctx.Done():
		}
	}
	return nil
}

// once makes and serves one connection, and gives the pause before the next.
func (t *Tunnel) once(ctx context.Context, sink tunnel.Sink, again *retry) time.Duration {
	began := time.Now()
	connected, err := t.connection(ctx, sink)
	if ctx.Err() != nil {
		return 0
	}
	tooMany := errors.Is(err, errBatch) // the broker has nothing against the connection
	if tooMany {
		*again = retry{ceiling: backOffBase}
	}
	most, taken := again.ended(connected && !tooMany, time.Since(began), time.Now())
	pause := rand.N(most)
	if err != nil {
		t.cfg.Down(err.Error())
	}
	t.log.Warn("broker connection ended", zap.String("broker", t.cfg.address()), zap.Bool("wasConnected", connected),
		zap.Error(err), zap.Duration("retryIn", pause))
	if taken {
		t.log.Warn("connections end again and again: another client may use our client id; have the broker permit it to this user alone, and give each installation an MQTT_CLIENT_PREFIX of its own",
			zap.String("clientID", t.cfg.ClientID))
	}
	return pause
}

// connection makes one connection and serves it until it is lost or ctx ends.
func (t *Tunnel) connection(ctx context.Context, sink tunnel.Sink) (connected bool, err error) {
	s, err := t.dial(ctx, sink)
	if err != nil {
		return false, err
	}
	defer s.close()
	if err := s.discover(ctx); err != nil {
		return false, err
	}
	t.setCurrent(s)
	t.cfg.Down("")
	sink.Link(tunnel.Link{Tunnel: Name, Up: true, Since: time.Now()})
	t.log.Info("broker connected", zap.String("broker", t.cfg.address()), zap.String("clientID", t.cfg.ClientID))
	err = s.serve(ctx)
	t.setCurrent(nil)
	if ctx.Err() == nil {
		s.giveUp()
	}
	sink.Link(tunnel.Link{Tunnel: Name, Up: false, Since: time.Now()})
	return true, err
}

func (t *Tunnel) setCurrent(s *session) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.current = s
}

// Follow implements tunnel.Tunnel. The endpoint does not matter here.
func (t *Tunnel) Follow(h tunnel.Heartbeat) {
	t.mu.Lock()
	t.followed[h.Base] = struct{}{}
	t.mu.Unlock()
	t.wakeUp()
}

// Unfollow implements tunnel.Tunnel.
func (t *Tunnel) Unfollow(b tunnel.BaseID) {
	t.mu.Lock()
	delete(t.followed, b)
	t.mu.Unlock()
	t.wakeUp()
}

func (t *Tunnel) wakeUp() {
	select {
	case t.wake <- struct{}{}:
	default:
	}
}

func (t *Tunnel) follows(b tunnel.BaseID) bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	_, ok := t.followed[b]
	return ok
}

// Do implements tunnel.Tunnel. It returns once the command was handed to the
// connection. SwitchModule is not supported over MQTT.
func (t *Tunnel) Do(_ context.Context, b tunnel.BaseID, c tunnel.Command) (err error) {
	began := time.Now()
	defer func() { t.meter.Command(Name, c.Verb, outcome(err), time.Since(began)) }()
	if c.Verb == tunnel.SwitchModule {
		return fmt.Errorf("command base %s: %w over MQTT", b, tunnel.ErrUnsupported)
	}
	body, err := arklet.EncodeCommand(c, false)
	if err != nil {
		return fmt.Errorf("command base %s: %w", b, err)
	}
	t.mu.RLock()
	s := t.current
	_, followed := t.followed[b]
	subscribed := s != nil && (s.wildcards || s.subscribed[b])
	t.mu.RUnlock()
	switch {
	case !t.cfg.Gate.Valid():
		return fmt.Errorf("command base %s: %w", b, tunnel.ErrShut)
	case !followed, s != nil && !subscribed:
		return fmt.Errorf("command base %s: %w", b, tunnel.ErrNotFollowed)
	case s == nil:
		return fmt.Errorf("command base %s: %w", b, tunnel.ErrNotLinked)
	}
	if err := s.publish(arklet.CommandTopic(b, c.Verb), body); err != nil {
		return fmt.Errorf("command base %s: %w: %w", b, tunnel.ErrNotLinked, err)
	}
	return nil
}

func outcome(err error) string {
	switch {
	case err == nil:
		return "sent"
	case errors.Is(err, tunnel.ErrNotLinked):
		return "not_linked"
	}
	return "refused"
}
