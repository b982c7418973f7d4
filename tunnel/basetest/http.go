package basetest

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
)

// HTTPFleet serves bases over HTTP, each on a port of its own, and announces them. A
// base costs two goroutines.
//
// NB: runtimes before 2.1.8 do not announce themselves; their applications may, and
// here they do. A base whose process has not listened yet, or has ended, resets
// connections: its port stays its own, where a real one's would refuse.
type HTTPFleet struct {
	// Endpoints are where heartbeats go, such as http://127.0.0.1:7777: each to the next of
	// them, as a Service spreads connections over replicas. None: the bases only listen, as
	// those of runtimes before 2.1.8 whose applications send none.
	Endpoints []string
	// Port is where each base listens, at the address where it is; 0 for a free one.
	Port  int
	Bases []*Base
}

// Run serves and announces until ctx ends. It returns an error where a base cannot
// listen.
func (f *HTTPFleet) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() { // last
		for _, b := range f.Bases {
			b.closePorts()
		}
	}()
	defer wg.Wait()
	defer cancel()
	for _, b := range f.Bases {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(b.options.At, strconv.Itoa(f.Port)))
		if err != nil {
			return fmt.Errorf("listen for base %s: %w", b.Identity(), err)
		}
		s := &server{Base: b, client: clientAt(b.options.At), endpoints: f.Endpoints, wake: make(chan struct{}, 1)}
		s.port = l.Addr().(*net.TCPAddr).Port
		b.listens(s.port)
		context.AfterFunc(ctx, func() { _ = l.Close() })
		s.watch(s.poke)
		defer s.watch(nil)
		wg.Go(func() { s.serve(ctx, l, &wg) })
		wg.Go(func() { s.announce(ctx) })
	}
	<-ctx.Done()
	return nil
}

// clientAt makes a client whose connections come from an address of this host, as those
// of a base come from its own.
func clientAt(ip string) *http.Client {
	from := &net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}}
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{DialContext: from.DialContext, DisableKeepAlives: true}}
}

func (b *Base) listens(port int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.log.port = port
}

// server is a base that speaks HTTP.
type server struct {
	*Base
	client    *http.Client
	endpoints []string
	port      int
	wake      chan struct{} // the process began or ended, or it has a message to send

	beats int // how many were sent; only the goroutine that announces uses it

	mu sync.Mutex
	// mu guards what follows
	open int // the process that takes commands
}

func (s *server) poke() {
	select {
	case s.wake <- struct{}{}:
	default:
	}
}

func (s *server) listening() bool {
	p := s.running()
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.open == p.number && !s.Faults().Stopped
}

func (s *server) serve(ctx context.Context, l net.Listener, wg *sync.WaitGroup) {
	for {
		conn, err := l.Accept()
		if err != nil {
			return // closed
		}
		if !s.listening() {
			if tcp, ok := conn.(*net.TCPConn); ok {
				_ = tcp.SetLinger(0) // reset
			}
			_ = conn.Close()
			continue
		}
		wg.Go(func() {
			defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
			defer conn.Close() //nolint:errcheck // nothing can be done
			s.connection(ctx, conn, wg)
		})
	}
}

// maxBody is what arklet's server reads at the most, in bytes.
const maxBody = 1 << 20

// connection serves one request; the connection is closed behind the answer. It ends
// with the process, too.
func (s *server) connection(ctx context.Context, conn net.Conn, wg *sync.WaitGroup) {
	p := s.running()
	joined, done := p.join(ctx)
	defer done()
	defer context.AfterFunc(joined, func() { _ = conn.Close() })()
	if s.Faults().Silent {
		hang(conn)
		return
	}
	req, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, req.Body, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		_, _ = io.WriteString(conn, "HTTP/1.1 413 Request Entity Too Large\r\ncontent-length: 0\r\n\r\n")
		hang(conn)
		return
	case err != nil:
		return
	case req.Method != http.MethodPost:
		const text = "POST http request only supported by arklet"
		_, _ = fmt.Fprintf(conn, "HTTP/1.1 500 Internal Server Error\r\nContent_Length: %d\r\n\r\n%s", len(text), text)
		return
	}
	later := func(task func(context.Context)) {
		joined, done := p.join(ctx) // not only while this connection is there
		work := func() { defer done(); task(joined) }
		if !p.async.submit(wg.Go, work) {
			work() // the pool has its callers run what it cannot take
		}
	}
	s.respond(joined, p, conn, strings.TrimPrefix(req.URL.Path, "/"), body, later)
}

// hang answers nothing until the client goes, or the process ends.
func hang(conn net.Conn) { _, _ = io.Copy(io.Discard, conn) }

// respond does a command and answers it.
func (s *server) respond(ctx context.Context, p *process, conn net.Conn, command string, body []byte, later later) {
	var c Command
	if text := bytes.TrimSpace(body); len(text) > 0 && json.Unmarshal(text, &c) != nil && s.runtime.has(command) {
		hang(conn) // a body that is no object is never answered
		return
	}
	s.receive(command, c, conn.RemoteAddr().String())
	answer := s.onLoop(ctx, p, func() object { return p.execute(ctx, command, c, later) })
	f := s.Faults()
	switch {
	case answer == nil, changes(command) && s.use(func(f *Faults) *int { return &f.LoseAnswers }):
		return // the connection is closed without a word
	case f.Mute, f.Silent:
		hang(conn)
		return
	case command == queryAllBiz && !pause(ctx, f.LateLists):
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
	_, _ = conn.Write(encode(answer))
}

// onLoop does work on one of the event loops: a long one delays others.
func (s *server) onLoop(ctx context.Context, p *process, work func() object) object {
	s.Base.mu.Lock()
	p.loop++
	loop := p.loops[p.loop%eventLoops]
	s.Base.mu.Unlock()
	select {
	case loop <- struct{}{}:
		defer func() { <-loop }()
	case <-ctx.Done():
		return nil
	}
	if !pause(ctx, s.Faults().Slow) {
		return nil
	}
	return work()
}

// beat sends a heartbeat to the endpoint whose turn it is.
func (s *server) beat(ctx context.Context) {
	to := s.endpoints[s.beats%len(s.endpoints)]
	s.beats++
	if s.post(ctx, to, "heartbeat", encode(s.heartbeat(s.port))) {
		s.arrived()
	}
}

// say sends a message of Say to every endpoint.
func (s *server) say(ctx context.Context, r raw) {
	for _, to := range s.endpoints {
		s.post(ctx, to, r.where, r.body)
	}
}

// post sends a message to an endpoint, and says whether it was answered: it may be refused.
func (s *server) post(ctx context.Context, endpoint, path string, body []byte) (answered bool) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, strings.TrimSuffix(endpoint, "/")+"/"+path, bytes.NewReader(body))
	if err != nil {
		return false
	}
	req.Header.Set("Content-Type", "application/json")
	if s.options.Token != "" {
		req.Header.Set("Authorization", "Bearer "+s.options.Token)
	}
	resp, err := s.client.Do(req)
	if err != nil {
		return false // it tries again when the next heartbeat is due
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	_ = resp.Body.Close()
	return true
}
