package kubelet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/virtual-kubelet/virtual-kubelet/node/api"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"

	"module-controller/internal/access"
	"module-controller/internal/connlimit"
	"module-controller/internal/refusals"
	"module-controller/internal/tokens"
	"module-controller/tunnel"
)

// Bases are those whose Nodes are served.
type Bases interface {
	// Look gives what is known of a Node and its base; ok is false where the Node is not
	// known. It returns at once, and what it gives is not changed.
	Look(node string) (v View, ok bool)
	// Ask sends a base a question, tunnel.ListModules or tunnel.ReadHealth, and gives its
	// answer, which is waited for until ctx ends.
	Ask(ctx context.Context, node string, question tunnel.Verb) (tunnel.Report, error)
}

// View is what is known of a Node and its base.
type View struct {
	Node *corev1.Node
	// Workload is the Pod that the base was proved to run in, as "namespace/name/uid", by what
	// its owner heard itself and not by what is written on the Node; empty while nothing is.
	Workload string
	// Pods are those that the API server has on the Node. Running are those whose modules the
	// base serves, without their environment.
	Pods, Running []*corev1.Pod
	// Health is what the base told at Told; nil while it told nothing.
	Health *tunnel.Health
	Told   time.Time
	// CPUSeconds is how long processors were in use where the base runs.
	CPUSeconds float64
}

// Config are the settings of a Server. The zero value of each means its default.
type Config struct {
	// CertFile and KeyFile are of the certificate that is served, read at each connect.
	// Default: one that nobody signed, made anew before it ends.
	CertFile, KeyFile string
	// ClientCAFile has the authorities of client certificates, read every minute. Default: the
	// cluster's, as the API server tells it.
	ClientCAFile string
}

// Deps are what a Server works with. All are needed.
type Deps struct {
	Bases Bases
	Ports *Ports
	// Client reads the logs of bases' Pods, and asks who sends requests.
	Client kubernetes.Interface
	Log    *zap.Logger
}

// Server serves the kubelet's API at all Ports.
type Server struct {
	bases   Bases
	ports   *Ports
	client  kubernetes.Interface
	log     *zap.Logger
	told    *refusals.Log
	tokens  *tokens.Reviewer
	access  *access.Reviewer
	clients *authorities
	serving *certificate
	streams *logStreams
	// connections are those to all ports.
	connections *connlimit.Limiter
	routes      http.Handler
}

const (
	headerTimeout = 5 * time.Second // also of the handshake
	idleTimeout   = 2 * time.Minute
	// refusedTimeout is how long the rest of a request that was refused is read.
	refusedTimeout = time.Second
	// answerTimeout is how long an answer may take, but for logs and what takes its connection
	// over: longer than a base is waited for. Else who does not read has a connection for ever.
	answerTimeout = 30 * time.Second
	maxHeader     = 16 << 10 // bytes; a token has 8 KiB at most
	// closeTimeout is how long what is under way may take at the end.
	closeTimeout = 500 * time.Millisecond
)

// New makes a Server. It starts nothing.
func New(cfg Config, deps Deps) *Server {
	s := &Server{
		bases: deps.Bases, ports: deps.Ports, client: deps.Client, log: deps.Log, told: refusals.New(deps.Log),
		tokens:  tokens.New(deps.Client.AuthenticationV1().TokenReviews(), tokens.Config{}),
		access:  access.New(deps.Client.AuthorizationV1().SubjectAccessReviews()),
		clients: &authorities{file: cfg.ClientCAFile, client: deps.Client, log: deps.Log},
		serving: &certificate{certFile: cfg.CertFile, keyFile: cfg.KeyFile, host: deps.Ports.host},
		streams: newStreams(),
	}
	s.connections = newConnections(s.told)
	deps.Ports.tell(func(node string) {
		s.told.Tell("no port is left for the kubelet's API of a VNode: raise KUBELET_PROXY_PORTS, or run more replicas", "no_port", node, zap.String("node", node))
	})
	mux := http.NewServeMux()
	// Of virtual-kubelet's handler of logs no --tail=0 comes through.
	mux.HandleFunc("GET /containerLogs/{namespace}/{pod}/{container}", s.logs)
	mux.Handle("/", api.PodHandler(api.PodHandlerConfig{
		RunInContainer:        s.exec,
		GetPods:               s.running,
		GetPodsFromKubernetes: s.pods,
		GetStatsSummary:       s.summary,
		GetMetricsResource:    s.resources,
	}, true))
	s.routes = mux
	return s
}

// Run serves until ctx ends, and returns when all that it started has ended. It returns an
// error where a port cannot be listened on.
func (s *Server) Run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	listeners, err := s.listen(ctx)
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler: s, ErrorLog: log.New(io.Discard, "", 0), // anybody may connect, and must not fill the log
		MaxHeaderBytes: maxHeader, ReadHeaderTimeout: headerTimeout, IdleTimeout: idleTimeout,
		BaseContext: func(net.Listener) context.Context { return ctx }, // logs that are followed end with it
		ConnContext: connlimit.ConnContext,
	}
	wg.Go(func() { s.clients.run(ctx) })
	for _, l := range listeners {
		wg.Go(func() {
			if err := server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
				cancel(fmt.Errorf("serve on %s: %w", l.Addr(), err))
			}
		})
	}
	s.log.Info("serving the kubelet's API", zap.String("first", listeners[0].Addr().String()), zap.Int("ports", len(listeners)))
	<-ctx.Done()
	closing, end := context.WithTimeout(context.WithoutCancel(ctx), closeTimeout)
	defer end()
	if server.Shutdown(closing) != nil {
		_ = server.Close() // who does not end in time is cut off
	}
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// nodeKey is that of the Node's name in a request's context, and askerKey that of the user's:
// of a request virtual-kubelet's functions get nothing else.
type (
	nodeKey  struct{}
	askerKey struct{}
)

func nodeOf(ctx context.Context) string {
	node, _ := ctx.Value(nodeKey{}).(string)
	return node
}

func askerOf(ctx context.Context) asker {
	who, _ := ctx.Value(askerKey{}).(asker)
	return who
}

// maxShown is how much of a path the log has, in bytes.
const maxShown = 256

// ServeHTTP implements http.Handler. A request that is refused ends its connection, so that
// nobody who is not admitted keeps one.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	node := s.ports.node(portOf(r.Context()))
	if node == "" {
		refuse(w, http.StatusServiceUnavailable, errNoNode)
		return
	}
	who, status, err := s.admit(r, node)
	if err != nil {
		s.tellRefused(r, http.StatusText(status), who, node, err)
		refuse(w, status, err)
		return
	}
	if r.ContentLength != 0 { // nothing bounds how long the rest of it takes
		s.tellRefused(r, http.StatusText(http.StatusBadRequest), who, node, errBody)
		refuse(w, http.StatusBadRequest, errBody)
		return
	}
	connlimit.Admitted(r.Context())
	if !s.keeps(who) {
		w.Header().Set("Connection", "close") // one at each port may be more than there are
	}
	// Not all writers can bound that: those of tests.
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(answerTimeout))
	ctx := context.WithValue(context.WithValue(r.Context(), nodeKey{}, node), askerKey{}, who)
	s.routes.ServeHTTP(w, r.WithContext(ctx))
}

// errNoNode: no Node has the port at which a request came.
var errNoNode = errors.New("no VNode is served at this port now: its Node names where it is")

// errBody: nothing that may be asked has a body.
var errBody = errors.New("send no body with the request")

// refuse answers a request, and ends its connection.
func refuse(w http.ResponseWriter, status int, err error) {
	w.Header().Set("Connection", "close")
	// What is left of its body is read before the end. Not all writers can bound that: those of tests.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(refusedTimeout))
	http.Error(w, err.Error(), status)
}

// tellRefused tells in the log that a request was refused.
func (s *Server) tellRefused(r *http.Request, reason string, who asker, node string, err error) {
	s.told.Tell("refusing a request to a VNode", reason, who.Username, zap.String("node", node),
		zap.String("path", tunnel.Say(r.URL.Path, maxShown)), zap.String("from", r.RemoteAddr), zap.Error(err))
}

// portOf is the port at which a request came.
func portOf(ctx context.Context) int {
	if at, ok := ctx.Value(http.LocalAddrContextKey).(*net.TCPAddr); ok {
		return at.Port
	}
	return 0
}
