package httptunnel

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"module-controller/internal/refusals"
	"module-controller/tunnel"
)

// Name is the tunnel's name on Nodes.
const Name = "http_tunnel_provider"

// Tunnel receives heartbeats and sends commands.
type Tunnel struct {
	cfg    Config
	log    *zap.Logger
	meter  tunnel.Meter
	policy policy
	// Who may send heartbeats, and how many.
	admission admission
	guests    *guests
	refusals  *refusals.Log
	finder    *finder

	client  *http.Client        // for bases
	polls   *rate.Limiter       // of all installs together
	answers *semaphore.Weighted // bytes of long answers that are being read
	work    sync.WaitGroup

	mu sync.Mutex
	// mu guards what follows
	sink       tunnel.Sink // nil while Run does not run
	shares     shares
	bases      map[tunnel.BaseID]*remote
	outboxes   map[Peer]*outbox
	forwarding context.Context //nolint:containedctx // of the outboxes' goroutines; ends before Run does
}

// remote is one followed base. Tunnel.mu guards its fields but help.
type remote struct {
	base   tunnel.BaseID
	at     tunnel.Endpoint
	ctx    context.Context //nolint:containedctx // ends when the base is unfollowed or moves
	cancel context.CancelFunc
	busy   int // commands being done; at most Config.PerBase
	record record

	discovered bool               // its features are known and have been reported
	async      bool               // installs may be asynchronous; false until discovered
	help       singleflight.Group // one asks for the features, the others wait
}

// New checks the configuration, completed with defaults, and makes a Tunnel. It
// starts nothing.
func New(cfg Config, log *zap.Logger, meter tunnel.Meter) (*Tunnel, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure HTTP tunnel: %w", err)
	}
	transport := &http.Transport{
		Proxy: nil, DisableKeepAlives: true, // arklet closes each connection
		DialContext:           cfg.dial,
		ResponseHeaderTimeout: cfg.Timeout, MaxResponseHeaderBytes: maxHeader,
	}
	guests := newGuests(cfg.NewIdentities, cfg.MaxIdentities)
	if cfg.Limits != nil {
		guests.limits = cfg.Limits
	}
	return &Tunnel{
		cfg: cfg, log: log, meter: meter, policy: newPolicy(cfg),
		admission: admission{cfg.Auth, cfg.Workloads, newBudget()}, guests: guests, refusals: refusals.New(log), finder: newFinder(),
		answers: semaphore.NewWeighted(maxAnswers), shares: shares{total: cfg.Total}, polls: rate.NewLimiter(pollsEach, pollsBurst),
		bases: map[tunnel.BaseID]*remote{}, outboxes: map[Peer]*outbox{},
		client: &http.Client{Transport: transport, Timeout: cfg.Timeout, CheckRedirect: noRedirect},
	}, nil
}

// noRedirect has a redirection be the answer: whoever was asked sends us nowhere else.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

// Name implements tunnel.Tunnel.
func (t *Tunnel) Name() string { return Name }

// maxHeader is the maximum length of a header that is read, in bytes.
const maxHeader = 8 << 10

// Run implements tunnel.Tunnel. It returns an error if it cannot listen.
func (t *Tunnel) Run(ctx context.Context, sink tunnel.Sink) error {
	fronts, err := t.listen(ctx, sink)
	if err != nil {
		return err
	}
	return t.serve(ctx, fronts, sink)
}

// serve receives heartbeats until ctx ends.
func (t *Tunnel) serve(ctx context.Context, fronts []front, sink tunnel.Sink) error {
	forwarding, stopForwarding := context.WithCancel(context.WithoutCancel(ctx))
	defer stopForwarding()
	t.mu.Lock()
	t.sink, t.forwarding = sink, forwarding
	t.mu.Unlock()
	if t.cfg.Quiet != nil {
		t.work.Go(func() { t.find(forwarding, sink) })
	}
	handling, stopHandling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHandling()
	var conns sync.WaitGroup
	failed := make(chan error, len(fronts))
	servers := make([]*http.Server, 0, len(fronts))
	for _, f := range fronts {
		server := t.server(handling, &conns, f.handler)
		servers = append(servers, server)
		go func() { failed <- server.Serve(f.Listener) }()
		t.log.Info("listening for heartbeats", zap.Stringer("address", f.Addr()))
	}
	sink.Link(tunnel.Link{Tunnel: Name, Up: true, Since: time.Now()})
	var errs []error
	ended := 0
	select {
	case <-ctx.Done():
	case err := <-failed:
		errs, ended = append(errs, err), 1
	}
	stopForwarding()
	t.stop()
	t.work.Wait()
	for _, server := range servers {
		errs = append(errs, shutDown(ctx, server))
	}
	for range len(fronts) - ended {
		errs = append(errs, <-failed)
	}
	stopHandling()
	conns.Wait()
	return served(errs)
}

// served gives what ended serving other than its regular end.
func served(errs []error) error {
	errs = slices.DeleteFunc(errs, func(err error) bool { return err == nil || errors.Is(err, http.ErrServerClosed) })
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("serve heartbeats: %w", err)
	}
	return nil
}

// server makes a server of heartbeats. Its requests' contexts end with ctx, and
// conns counts its connections, whose handlers have ended when they have.
func (t *Tunnel) server(ctx context.Context, conns *sync.WaitGroup, handler http.Handler) *http.Server {
	return &http.Server{
		Handler: handler, MaxHeaderBytes: maxHeader,
		ReadTimeout: t.cfg.Timeout, ReadHeaderTimeout: t.cfg.Timeout / 2,
		WriteTimeout: t.cfg.Timeout, IdleTimeout: 30 * time.Second, // bases send every 12 s
		ErrorLog:    zap.NewStdLog(t.log.WithOptions(zap.IncreaseLevel(zap.WarnLevel))),
		BaseContext: func(net.Listener) context.Context { return ctx },
		ConnState: func(_ net.Conn, s http.ConnState) {
			switch s {
			case http.StateNew:
				conns.Add(1)
			case http.StateClosed:
				conns.Done()
			default:
			}
		},
	}
}

// closeTimeout is how long heartbeats in flight may take when Run ends. Senders repeat
// what is cut off, and Shutdown would wait 5 s for a connection that has sent nothing.
const closeTimeout = 500 * time.Millisecond

// shutDown gives requests in flight closeTimeout to end, then cuts them off, which is no
// error.
func shutDown(ctx context.Context, server *http.Server) error {
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer cancel()
	err := server.Shutdown(closing)
	if errors.Is(err, context.DeadlineExceeded) {
		_ = server.Close() // the listener's error, and that was closed before
		return nil
	}
	return err
}

// stop ends the requests in flight, and refuses new ones.
func (t *Tunnel) stop() {
	t.mu.Lock()
	t.sink = nil
	clear(t.outboxes) // their goroutines end with what they forward
	for _, r := range t.bases {
		r.cancel()
	}
	t.mu.Unlock()
	t.client.CloseIdleConnections()
}

// Follow implements tunnel.Tunnel. A base that moved or restarted is asked for its
// features again.
func (t *Tunnel) Follow(h tunnel.Heartbeat) {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.bases[h.Base]
	if r != nil && r.at == h.Endpoint() && !h.Restarted {
		return
	}
	strikes := 0 // of the base, wherever it is
	if r != nil {
		r.cancel()
		strikes = r.record.strikes
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.bases[h.Base] = &remote{base: h.Base, at: h.Endpoint(), ctx: ctx, cancel: cancel, record: record{strikes: strikes}}
}

// Unfollow implements tunnel.Tunnel.
func (t *Tunnel) Unfollow(b tunnel.BaseID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if r := t.bases[b]; r != nil {
		r.cancel()
		delete(t.bases, b)
	}
}

// Do implements tunnel.Tunnel. AnswerBaseline is not supported over HTTP: there the base's
// own request is answered.
func (t *Tunnel) Do(_ context.Context, b tunnel.BaseID, c tunnel.Command) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	r := t.bases[b]
	switch {
	case !t.cfg.Gate.Valid():
		return fmt.Errorf("command base %s: %w", b, tunnel.ErrShut)
	case t.sink == nil:
		return fmt.Errorf("command base %s: %w", b, tunnel.ErrNotLinked)
	case r == nil:
		return fmt.Errorf("command base %s: %w", b, tunnel.ErrNotFollowed)
	case c.Verb == tunnel.AnswerBaseline:
		return fmt.Errorf("command base %s: %w over HTTP", b, tunnel.ErrUnsupported)
	case !r.at.Dialable():
		return fmt.Errorf("command base %s: %w: it reported no address", b, tunnel.ErrUnsupported)
	}
	if !t.start(r, func(u *turn) { t.command(u, b, c) }) { //nolint:contextcheck // a command outlives the call that hands it over
		return fmt.Errorf("command base %s: %w", b, tunnel.ErrBusy)
	}
	return nil
}

// report delivers an answer, unless Run has ended or the base is no longer followed at
// that endpoint: nothing is reported of a base once Unfollow has returned.
func (t *Tunnel) report(from *remote, r tunnel.Report) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.sink != nil && from.ctx.Err() == nil {
		r.Tunnel, r.Received = Name, time.Now()
		t.sink.Report(r) // which returns at once
	}
}
