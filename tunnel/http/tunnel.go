package httptunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"sync"
	"time"

	"go.uber.org/zap"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

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
	teller    *teller

	client  *http.Client // for bases
	peers   *http.Client
	polls   *rate.Limiter       // of all installs together
	answers *semaphore.Weighted // bytes of long answers that are being read
	queue   chan forward        // heartbeats to be forwarded to peers
	work    sync.WaitGroup

	mu sync.Mutex
	// mu guards what follows
	sink   tunnel.Sink // nil while Run does not run
	shares shares
	bases  map[tunnel.BaseID]*remote
}

// remote is one followed base. Tunnel.mu guards its fields but help.
type remote struct {
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
	noRedirect := func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &Tunnel{
		cfg: cfg, log: log, meter: meter, policy: newPolicy(cfg),
		admission: admission{cfg.Auth, cfg.Workloads, newBudget()}, guests: newGuests(cfg.NewIdentities, cfg.MaxIdentities), teller: newTeller(log),
		answers: semaphore.NewWeighted(maxAnswers), shares: shares{total: cfg.Total}, polls: rate.NewLimiter(pollsEach, pollsBurst), queue: make(chan forward, maxQueue), bases: map[tunnel.BaseID]*remote{},
		client: &http.Client{
			Transport: transport, Timeout: cfg.Timeout,
			CheckRedirect: noRedirect,
		},
		peers: &http.Client{
			Transport: &http.Transport{Proxy: nil, MaxIdleConnsPerHost: forwarders, IdleConnTimeout: time.Minute, MaxResponseHeaderBytes: maxHeader},
			Timeout:   peerTimeout, CheckRedirect: noRedirect,
		},
	}, nil
}

// Name implements tunnel.Tunnel.
func (t *Tunnel) Name() string { return Name }

// maxHeader is the maximum length of a header that is read, in bytes.
const maxHeader = 8 << 10

// Run implements tunnel.Tunnel. It returns an error if it cannot listen.
func (t *Tunnel) Run(ctx context.Context, sink tunnel.Sink) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", t.cfg.Listen)
	if err != nil {
		return fmt.Errorf("listen for heartbeats: %w", err)
	}
	return t.serve(ctx, l, sink)
}

// serve receives heartbeats on a listener until ctx ends.
func (t *Tunnel) serve(ctx context.Context, l net.Listener, sink tunnel.Sink) error {
	t.mu.Lock()
	t.sink = sink
	t.mu.Unlock()
	handling, stopHandling := context.WithCancel(context.WithoutCancel(ctx))
	defer stopHandling()
	var conns sync.WaitGroup
	server := t.server(handling, &conns, sink)
	failed := make(chan error, 1)
	l = limit(l, t.cfg.MaxConnections, t.cfg.ConnectionsEach, func(from netip.Addr, err error) {
		t.note(from, refuse(0, "too_many_connections", err))
	})
	go func() { failed <- t.receive(server, l) }()
	forwarding, stopForwarding := context.WithCancel(ctx)
	defer stopForwarding()
	for range forwarders {
		t.work.Go(func() { t.runForwarder(forwarding) })
	}
	sink.Link(tunnel.Link{Tunnel: Name, Up: true, Since: time.Now()})
	t.log.Info("listening for heartbeats", zap.Stringer("address", l.Addr()))
	var err error
	select {
	case <-ctx.Done():
	case err = <-failed:
	}
	stopForwarding()
	t.stop()
	t.work.Wait()
	notClosed := shutDown(ctx, server)
	if err == nil {
		err = <-failed
	}
	stopHandling()
	conns.Wait()
	if !errors.Is(err, http.ErrServerClosed) {
		return fmt.Errorf("serve heartbeats: %w", err)
	}
	return notClosed
}

// receive serves a listener, over TLS where there is a certificate.
func (t *Tunnel) receive(server *http.Server, l net.Listener) error {
	if t.cfg.CertFile == "" {
		return server.Serve(l)
	}
	return server.Serve(tls.NewListener(l, t.cfg.certificates(t.log).tls()))
}

// server makes the server of heartbeats. Its requests' contexts end with ctx, and
// conns counts its connections, whose handlers have ended when they have.
func (t *Tunnel) server(ctx context.Context, conns *sync.WaitGroup, sink tunnel.Sink) *http.Server {
	return &http.Server{
		Handler: t.handler(sink), MaxHeaderBytes: maxHeader,
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
	for _, r := range t.bases {
		r.cancel()
	}
	t.mu.Unlock()
	t.client.CloseIdleConnections()
	t.peers.CloseIdleConnections()
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
	t.bases[h.Base] = &remote{at: h.Endpoint(), ctx: ctx, cancel: cancel, record: record{strikes: strikes}}
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

// Do implements tunnel.Tunnel.
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
