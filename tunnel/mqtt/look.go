package mqtttunnel

import (
	"context"
	"crypto/rand"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
	"go.uber.org/zap"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// Look is what a broker shows to whoever connects to it once.
type Look struct {
	// Retained are the topics of commands that other controllers left retained: a base that
	// subscribes is given them at once, however old they are. In order, mostRetained at most, as
	// they are: show them by ShownTopic. Longer ones than a base's are left out.
	Retained []string
	// Refused are the filters that the user may not read, so that nothing is known of them.
	Refused []string
}

const (
	// mostRetained bounds what is kept of a broker that has very many.
	mostRetained = 10_000
	// lookQuiet is how long nothing must come until all is taken to be there, where the broker
	// lets the user send itself no message that would come after them.
	lookQuiet = time.Second
	// lookPrefix begins the client id of whoever looks.
	lookPrefix = "module-controller-check-"
)

// LookAt connects to the broker of a configuration once, as a client of its own, and gives
// which commands are retained there for the bases of its environments. It changes nothing. The
// error of a connection that is not made has the broker's words, or those of TLS.
func LookAt(ctx context.Context, cfg Config) (Look, error) {
	return connectOnce(ctx, cfg, (*session).look)
}

// ClearRetained deletes retained commands, by the topics that a Look gave, with an empty retained
// message to each. Of what is no command's topic in the configuration's environments it deletes
// none, and gives an error. It connects as LookAt does. A broker acknowledges what it does not permit:
// look again to see what is left.
func ClearRetained(ctx context.Context, cfg Config, topics []string) error {
	for _, topic := range topics {
		if !slices.ContainsFunc(cfg.Environments, func(env string) bool { return arklet.IsCommand(env, topic) }) {
			return fmt.Errorf("%q is no topic of a command of the environments %q", topic, cfg.Environments)
		}
	}
	_, err := connectOnce(ctx, cfg, func(s *session, ctx context.Context, _ *looking) (Look, error) {
		for _, topic := range topics {
			if err := s.wait(ctx, s.client.Publish(topic, qos, true, []byte{}), "clear "+ShownTopic(topic)); err != nil {
				return Look{}, err
			}
		}
		return Look{}, nil
	})
	return err
}

// connectOnce connects as a client of its own, does something, and disconnects.
func connectOnce(ctx context.Context, cfg Config, do func(*session, context.Context, *looking) (Look, error)) (Look, error) {
	cfg.ClientID = lookPrefix + rand.Text()[:8]
	t, err := New(cfg, zap.NewNop(), tunnel.NoMeter)
	if err != nil {
		return Look{}, err
	}
	open, hangUp := context.WithCancelCause(context.WithoutCancel(ctx))
	s := &session{Tunnel: t, lost: make(chan error, 1), control: newControl(), hangUp: hangUp}
	o, err := t.options(open, t.cfg.ClientID, s.control.probe)
	if err != nil {
		hangUp(nil)
		return Look{}, err
	}
	seen := looking{probe: s.control.probe, topics: map[string]bool{}, heard: make(chan struct{}, 1), over: make(chan struct{})}
	o.SetDefaultPublishHandler(func(_ paho.Client, m paho.Message) { seen.take(m) }).
		SetConnectionLostHandler(func(_ paho.Client, err error) { s.lost <- err })
	s.client = paho.NewClient(o)
	defer s.close()
	if err := s.wait(ctx, s.client.Connect(), "connect to broker"); err != nil {
		return Look{}, err
	}
	return do(s, ctx, &seen)
}

// look subscribes where commands may be retained, and waits until all that are there came.
func (s *session) look(ctx context.Context, seen *looking) (Look, error) {
	var filters []string
	for _, env := range s.cfg.Environments {
		filters = append(filters, arklet.Retained(env)...)
	}
	refused, err := s.subscribe(ctx, filters)
	if err != nil {
		return Look{}, err
	}
	if no, err := s.subscribe(ctx, []string{s.control.probe}); err == nil && len(no) == 0 {
		_ = s.publish(s.control.probe, nil) // where that is refused, nothing comes for a while
	}
	if err := seen.await(ctx, s.lost); err != nil {
		return Look{}, err
	}
	return Look{Retained: seen.all(), Refused: refused}, nil
}

// looking collects what is retained.
type looking struct {
	probe string
	heard chan struct{} // something came
	over  chan struct{} // closed when the message to ourselves came: all before it did
	once  sync.Once

	mu     sync.Mutex
	topics map[string]bool // mu guards it
}

func (l *looking) take(m paho.Message) {
	switch {
	case m.Topic() == l.probe:
		l.once.Do(func() { close(l.over) })
		return
	case !m.Retained(), len(m.Payload()) == 0, len(m.Topic()) > maxShown:
		return
	}
	l.mu.Lock()
	if len(l.topics) < mostRetained {
		l.topics[m.Topic()] = true
	}
	l.mu.Unlock()
	select {
	case l.heard <- struct{}{}:
	default:
	}
}

// await waits until our own message came, or nothing does for a while.
func (l *looking) await(ctx context.Context, lost <-chan error) error {
	for {
		select {
		case <-l.over:
			return nil
		case <-l.heard:
		case <-time.After(lookQuiet):
			return nil
		case err := <-lost:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (l *looking) all() []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Sorted(maps.Keys(l.topics))
}
