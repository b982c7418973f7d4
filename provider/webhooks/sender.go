package webhooks

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/wait"

	"module-controller/internal/refusals"
)

// Deps are what a Sender works with. All are needed.
type Deps struct {
	// UserAgent is what requests say of who sends them.
	UserAgent string
	Meter     Meter
	Log       *zap.Logger
}

// Meter counts. Its methods return at once and may be called from any goroutine.
type Meter interface {
	// Hooked counts what became of a failure for one URL; result has few values.
	Hooked(result string)
}

// What became of a failure for one URL.
const (
	sent           = "sent"
	droppedFull    = "queue_full" // too many wait for the URL
	droppedRefused = "refused"    // it answered that it does not take it
	droppedUnsent  = "unsent"     // it was not reached, or answered that it cannot, each time
	droppedEnded   = "ended"      // the session ended before
)

// Sender tells of failures.
type Sender struct {
	cfg    Config
	deps   Deps
	log    *refusals.Log
	shown  *shown
	client *http.Client
	hooks  []*hook
}

// hook is one URL.
type hook struct {
	url string
	// host is what of the URL may be shown.
	host  string
	queue chan letter
}

// letter is a failure that waits.
type letter struct {
	id   string
	body []byte
}

// New checks the configuration, completed with defaults, and makes a Sender. It starts
// nothing.
func New(cfg Config, deps Deps) (*Sender, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure webhooks: %w", err)
	}
	s := &Sender{cfg: cfg, deps: deps, log: refusals.New(deps.Log), shown: newShown(), client: &http.Client{
		Timeout:       cfg.timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     http.DefaultTransport.(*http.Transport).Clone(),
	}}
	for _, u := range cfg.URLs {
		parsed, err := url.Parse(u)
		if err != nil {
			return nil, fmt.Errorf("configure webhooks: %w", err) // it was checked
		}
		s.hooks = append(s.hooks, &hook{url: u, host: parsed.Host, queue: make(chan letter, cfg.waiting)})
	}
	return s, nil
}

// Wrote takes in that a pod's status was written, and has told what failed since the one
// before it. It returns at once, and changes nothing.
func (s *Sender) Wrote(pod *corev1.Pod, before, status corev1.PodStatus) {
	for _, f := range s.shown.failures(pod, before, status, time.Now()) {
		body, err := json.Marshal(f)
		if err != nil {
			s.log.Tell("failed install not told to a webhook", "encoding", "", zap.Error(err))
			continue
		}
		for _, h := range s.hooks {
			select {
			case h.queue <- letter{f.ID, body}:
			default:
				s.drop(h, droppedFull, f.ID, nil)
			}
		}
	}
}

// drop tells and counts that a failure is not sent.
func (s *Sender) drop(h *hook, reason, id string, err error) {
	s.log.Tell("failed install not told to a webhook", reason, h.host, zap.String("host", h.host), zap.String("id", id), zap.Error(withoutURL(err)))
	s.deps.Meter.Hooked(reason)
}

// Run sends until ctx ends, and returns when all that it started has ended. It is called
// once.
func (s *Sender) Run(ctx context.Context) error {
	defer s.client.CloseIdleConnections()
	var wg sync.WaitGroup
	for _, h := range s.hooks {
		wg.Go(func() { s.serve(ctx, h) })
	}
	wg.Wait()
	return nil
}

// serve sends what waits for a URL, one after the other, until ctx ends.
func (s *Sender) serve(ctx context.Context, h *hook) {
	for {
		select {
		case l := <-h.queue:
			s.deliver(ctx, h, l)
		case <-ctx.Done():
			s.leave(h)
			return
		}
	}
}

// leave counts what waits when the session ends.
func (s *Sender) leave(h *hook) {
	for {
		select {
		case l := <-h.queue:
			s.drop(h, droppedEnded, l.id, nil)
		default:
			return
		}
	}
}

// deliver sends a failure, again where that may help.
func (s *Sender) deliver(ctx context.Context, h *hook, l letter) {
	var last error
	pauses := wait.Backoff{Duration: s.cfg.retry, Factor: 2, Steps: s.cfg.tries}
	err := wait.ExponentialBackoffWithContext(ctx, pauses, func(ctx context.Context) (done bool, err error) {
		again, err := s.post(ctx, h, l)
		if last = err; again {
			err = nil
		}
		return last == nil, err
	})
	switch {
	case err == nil:
		s.deps.Meter.Hooked(sent)
	case ctx.Err() != nil:
		s.drop(h, droppedEnded, l.id, last)
	case wait.Interrupted(err):
		s.drop(h, droppedUnsent, l.id, last)
	default:
		s.drop(h, droppedRefused, l.id, last)
	}
}
