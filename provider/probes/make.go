package probes

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"sync/atomic"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
)

// Dial connects to an address, if a probe may go there. It is asked for each connect.
type Dial func(ctx context.Context, network, address string) (net.Conn, error)

func nowhereToDial(_ context.Context, _, address string) (net.Conn, error) {
	return nil, fmt.Errorf("dial %s: probes may not be made", address)
}

// question is one probe to be made.
type question struct {
	kind      kind
	pod       *corev1.Pod
	container *corev1.Container
	probe     *corev1.Probe
	timeout   time.Duration
	ip        string
	pods      []plan.Pod // whose Secrets the answer may quote; not changed
}

// host is the host that is asked: the base's, where the probe names none.
func (q question) host(named string) string {
	if named != "" {
		return named
	}
	return q.ip
}

// finding is what a probe found, and why where there is something to say.
type finding struct {
	outcome outcome
	text    string
}

// maker makes probes. It keeps no connection: each probe makes its own, as a new client
// would.
type maker struct {
	dial Dial
	// plain speaks HTTP/1.1, and over TLS what the server likes; clear speaks HTTP/2 from
	// the first byte.
	plain, clear *http.Transport
}

func newMaker(dial Dial) maker {
	m := maker{dial: dial}
	m.plain, m.clear = m.transport(), m.transport()
	m.plain.ForceAttemptHTTP2 = true
	m.clear.Protocols = new(http.Protocols)
	m.clear.Protocols.SetUnencryptedHTTP2(true)
	return m
}

// maxHeader bounds the header of an answer, in bytes.
const maxHeader = 64 << 10

func (m maker) transport() *http.Transport {
	return &http.Transport{
		DialContext: m.connect, DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
		TLSClientConfig: unverified(),
	}
}

// unverified is a kubelet's: a probe asks whether a module serves, not who it is, and
// tells it nothing.
func unverified() *tls.Config {
	return &tls.Config{InsecureSkipVerify: true} //nolint:gosec // a probe has no name to verify, see above
}

// probe makes a probe.
func (m maker) probe(ctx context.Context, q question) finding {
	if q.ip == "" {
		return finding{unknown, "the address of the base is not known"}
	}
	deadline := time.Now().Add(q.timeout)
	ctx, cancel := context.WithDeadline(context.WithValue(ctx, wayKey{}, &way{deadline: deadline}), deadline)
	defer cancel()
	switch is := q.probe.ProbeHandler; {
	case is.HTTPGet != nil:
		return m.http(ctx, q, is.HTTPGet)
	case is.TCPSocket != nil:
		return m.tcp(ctx, q, is.TCPSocket)
	case is.GRPC != nil:
		return m.grpc(ctx, q, is.GRPC)
	}
	return finding{}
}

func (m maker) tcp(ctx context.Context, q question, to *corev1.TCPSocketAction) finding {
	port, err := portOf(to.Port, q.container)
	if err != nil {
		return finding{unknown, err.Error()}
	}
	conn, err := m.connect(ctx, "tcp", net.JoinHostPort(q.host(to.Host), port))
	if err != nil {
		return finding{failure(ctx, err), stable(err.Error())}
	}
	_ = conn.Close()
	return finding{outcome: passed}
}

// wayKey finds the way of a probe in its context.
type wayKey struct{}

// way is how far a probe came.
type way struct {
	deadline time.Time // a transport's dials outlive its requests
	answered atomic.Bool
}

func wayOf(ctx context.Context) *way {
	if w, ok := ctx.Value(wayKey{}).(*way); ok {
		return w
	}
	return &way{}
}

// connect connects within the probe's time, and notes whether anybody answered.
func (m maker) connect(ctx context.Context, network, address string) (net.Conn, error) {
	w := wayOf(ctx)
	ctx, cancel := context.WithDeadline(ctx, w.deadline)
	defer cancel()
	conn, err := m.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	w.answered.Store(true)
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(1) // seconds: thousands of probes would leave as many sockets waiting
	}
	return conn, nil
}

// failure tells what an error says of the module. Once somebody answered, whatever goes
// wrong is the module's; before, it is where the address said no. A connect that ends
// without an answer may be ours or the network's. Anything else is ours: the dialer refused
// the address, a name is not known, there are no sockets left.
func failure(ctx context.Context, err error) outcome {
	switch {
	case wayOf(ctx).answered.Load(), isAny(err, syscall.ECONNREFUSED, syscall.ECONNRESET):
		return failed
	case isAny(err, context.DeadlineExceeded, syscall.ETIMEDOUT, syscall.EHOSTUNREACH, syscall.ENETUNREACH, syscall.EHOSTDOWN), timedOut(err):
		return unreachable
	}
	return unknown
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}

func timedOut(err error) bool {
	var is net.Error
	return errors.As(err, &is) && is.Timeout()
}

// source is the end of a connection that is ours, as errors name it.
var source = regexp.MustCompile(`\S+:\d+->`)

// stable is a text without the port that this side had: it differs each time, and says
// nothing.
func stable(text string) string { return source.ReplaceAllString(text, "") }

// readAtMost reads a text and leaves the rest.
func readAtMost(r io.Reader, limit int64) (string, error) {
	text, err := io.ReadAll(io.LimitReader(r, limit))
	return string(text), err
}
