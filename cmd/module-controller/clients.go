package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"regexp"
	"time"

	"go.uber.org/zap"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"

	"module-controller/tunnel"
)

// clients are those of one session of a replica.
type clients struct {
	// work writes Nodes, Pods and bases' Leases, and nothing while this replica may
	// not act.
	work kubernetes.Interface
	// metadata reads objects without their specs, as work reads them whole.
	metadata metadata.Interface
	// events writes Events, which wait while they are many: they delay nothing else.
	events kubernetes.Interface
	// member writes the membership, on a connection of its own.
	member kubernetes.Interface
	// review asks about the tokens of others, and reads what is read once: what they
	// cost delays neither of the above.
	review kubernetes.Interface
}

const dialTimeout = 10 * time.Second

// reviewQPS is how many reviews a second are asked for at most.
const reviewQPS = 50

// eventQPS is how many Events a second are written at most.
const eventQPS = 100

// memberKeepAlive has a connection that leads nowhere noticed in 11 s: until then a
// watch on it shows members as silent who are not.
var memberKeepAlive = net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3}

// connectionChecks have a connection that leads nowhere given up after 10 s instead of
// 45: until then no Lease or Node is renewed over it.
//
// NB: client-go takes them from the environment alone, so they hold for the process.
var connectionChecks = map[string]string{"HTTP2_READ_IDLE_TIMEOUT_SECONDS": "5", "HTTP2_PING_TIMEOUT_SECONDS": "5"}

// setConnectionChecks sets those that are not in the environment. It is called once,
// before there is a client.
func setConnectionChecks() error {
	for name, value := range connectionChecks {
		if _, set := os.LookupEnv(name); set {
			continue
		}
		if err := os.Setenv(name, value); err != nil {
			return fmt.Errorf("set %s: %w", name, err)
		}
	}
	return nil
}

func newClients(cfg *config, gate writeGate, log *zap.Logger) (*clients, error) {
	base, err := restConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("load API server configuration: %w; set KUBECONFIG outside a cluster", err)
	}
	// An audit log tells which session of which replica wrote what.
	base.UserAgent = "module-controller/" + version + " (" + cfg.election.Incarnation + ")"
	base.ContentType = runtime.ContentTypeProtobuf
	base.AcceptContentTypes = runtime.ContentTypeProtobuf + "," + runtime.ContentTypeJSON
	base.WarningHandlerWithContext = newWarnings(log, ofClient.warnings)
	base.Wrap(func(rt http.RoundTripper) http.RoundTripper { return patientWatches{rt, log} })
	work, events, member, review := rest.CopyConfig(base), rest.CopyConfig(base), rest.CopyConfig(base), rest.CopyConfig(base)
	limits := cmp.Or(cfg.live, newLive(cfg))
	work.RateLimiter = limits.work
	work.Wrap(func(rt http.RoundTripper) http.RoundTripper { return gatedWrites{rt, gate} })
	events.QPS, events.Burst = eventQPS, eventQPS
	member.QPS = -1
	// A write that takes too long ends its connection, which HTTP/2 would keep: the
	// next one finds another way.
	member.NextProtos = []string{"http/1.1"}
	// A dialer of its own makes it a connection of its own: transports are shared.
	member.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAliveConfig: memberKeepAlive}).DialContext
	review.QPS, review.Burst = reviewQPS, reviewQPS
	review.Dial = (&net.Dialer{Timeout: dialTimeout, KeepAliveConfig: memberKeepAlive}).DialContext
	c := &clients{}
	if c.review, err = kubernetes.NewForConfig(review); err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	if c.work, err = kubernetes.NewForConfig(work); err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	if c.events, err = kubernetes.NewForConfig(events); err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	work.RateLimiter = limits.metadata
	if c.metadata, err = metadata.NewForConfig(work); err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	if c.member, err = kubernetes.NewForConfig(member); err != nil {
		return nil, fmt.Errorf("create client: %w", err)
	}
	return c, nil
}

func restConfig(cfg *config) (*rest.Config, error) {
	if cfg.kubeconfig == "" {
		return rest.InClusterConfig()
	}
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = cfg.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, nil).ClientConfig()
}

// gatedWrites refuses to write while the gate is shut, and gives up what is under way
// when it shuts: a write that waits for a connection must not leave when that comes up
// again. Events change nothing and may always go.
type gatedWrites struct {
	http.RoundTripper
	gate writeGate
}

// writeGate is a tunnel.Gate that tells until when it is open, unless that is put off.
type writeGate interface {
	Valid() bool
	Until() time.Time
}

// eventPath matches Events, and nothing else that is named so.
var eventPath = regexp.MustCompile(`^/(api/v1|apis/events\.k8s\.io/v1)/namespaces/[^/]+/events(/[^/]+)?$`)

func (g gatedWrites) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method == http.MethodGet || eventPath.MatchString(r.URL.Path) {
		return g.RoundTripper.RoundTrip(r)
	}
	if !g.gate.Valid() {
		return nil, fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, tunnel.ErrShut)
	}
	ctx, end := context.WithCancelCause(r.Context())
	go g.endWhenShut(ctx, end)
	resp, err := g.RoundTripper.RoundTrip(r.WithContext(ctx))
	if err != nil {
		if cause := context.Cause(ctx); errors.Is(cause, tunnel.ErrShut) {
			err = fmt.Errorf("%s %s: %w", r.Method, r.URL.Path, cause)
		}
		end(nil)
		return nil, err
	}
	resp.Body = endingBody{resp.Body, end}
	return resp, nil
}

// endWhenShut ends a request when the gate shuts, and itself when the request has ended.
func (g gatedWrites) endWhenShut(ctx context.Context, end context.CancelCauseFunc) {
	const leastWait = 10 * time.Millisecond
	for g.gate.Valid() {
		timer := time.NewTimer(max(time.Until(g.gate.Until()), leastWait))
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-timer.C:
		}
	}
	end(tunnel.ErrShut)
}

// endingBody ends its request when it is closed.
type endingBody struct {
	io.ReadCloser
	end context.CancelCauseFunc
}

func (b endingBody) Close() error {
	err := b.ReadCloser.Close()
	b.end(nil)
	return err
}

// patientWatches tries a watch again until it begins, while the API server is not
// there. The library would wait for up to 30 s between two tries, also when it is
// told to end.
type patientWatches struct {
	http.RoundTripper
	log *zap.Logger
}

const (
	watchPauseFirst = 100 * time.Millisecond
	watchPauseMax   = 3 * time.Second
)

func (p patientWatches) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.Method != http.MethodGet || !r.URL.Query().Has("watch") {
		return p.RoundTripper.RoundTrip(r)
	}
	for pause := watchPauseFirst; ; pause = min(2*pause, watchPauseMax) {
		resp, err := p.RoundTripper.RoundTrip(r)
		if watchBegan(resp, err) || r.Context().Err() != nil {
			return resp, err
		}
		if pause == watchPauseFirst {
			p.log.Info("cannot start watch, retrying", zap.String("path", r.URL.Path), zap.Int("status", statusOf(resp)), zap.Error(err))
		}
		if resp != nil {
			_ = resp.Body.Close()
		}
		select {
		case <-time.After(pause/2 + rand.N(pause)):
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
}

// watchBegan says whether a watch needs no other try: it began, or was refused for a
// reason that the library must hear of.
func watchBegan(resp *http.Response, err error) bool {
	return err == nil && resp.StatusCode != http.StatusTooManyRequests && resp.StatusCode < http.StatusInternalServerError
}

// statusOf gives the status of a response, 0 where there is none.
func statusOf(resp *http.Response) int {
	if resp == nil {
		return 0
	}
	return resp.StatusCode
}
