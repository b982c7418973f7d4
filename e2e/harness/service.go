package harness

import (
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"slices"
	"strconv"
	"sync"

	"module-controller/e2e/process"
)

// Service passes each HTTP request on to one of its backends, whichever: what a
// Kubernetes Service does, where a control plane without Nodes has none.
type Service struct {
	server *http.Server
	served chan error

	mu sync.Mutex
	// mu guards what follows
	ports []int
}

// StartService listens on a loopback port. Who gets a Service must close it.
func StartService(port int) (*Service, error) {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	s := &Service{served: make(chan error, 1)}
	s.server = &http.Server{Handler: &httputil.ReverseProxy{
		Rewrite: s.direct, ErrorLog: log.New(io.Discard, "", 0),
		Transport: &http.Transport{DisableKeepAlives: true}, // a backend that ends need not wait for what comes next
	}}
	go func() { s.served <- s.server.Serve(l) }()
	return s, nil
}

// Backend gives a free port that belongs to the Service from now on.
func (s *Service) Backend() (int, error) {
	port, err := process.FreePort()
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ports = append(s.ports, port)
	}
	return port, err
}

// Instead gives a free port that belongs to the Service from now on, in place of one
// that did or, with 0, of none.
func (s *Service) Instead(old int) (int, error) {
	s.mu.Lock()
	s.ports = slices.DeleteFunc(s.ports, func(p int) bool { return p == old })
	s.mu.Unlock()
	return s.Backend()
}

// Only has all requests go to the backend at a port from now on.
func (s *Service) Only(port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = []int{port}
}

func (s *Service) direct(r *httputil.ProxyRequest) {
	s.mu.Lock()
	defer s.mu.Unlock()
	port := 0 // nobody listens there
	if len(s.ports) > 0 {
		port = s.ports[rand.IntN(len(s.ports))]
	}
	r.Out.URL.Scheme, r.Out.URL.Host = "http", "127.0.0.1:"+strconv.Itoa(port)
}

// Close ends it.
func (s *Service) Close() error {
	err := s.server.Close()
	if served := <-s.served; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
