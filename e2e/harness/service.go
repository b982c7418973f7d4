package harness

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"

	"module-controller/e2e/process"
)

// Service passes each connection on to one of its backends, whichever, and the backend
// sees where it comes from: what a Kubernetes Service does for Pods, where a control
// plane without Nodes has none.
type Service struct {
	listener net.Listener
	work     sync.WaitGroup

	mu sync.Mutex
	// mu guards what follows
	ports  []int
	conns  map[net.Conn]int // to the port of a backend
	closed bool
}

// StartService listens on a loopback port. Who gets a Service must close it.
func StartService(port int) (*Service, error) {
	l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return nil, fmt.Errorf("start service: %w", err)
	}
	s := &Service{listener: l, conns: map[net.Conn]int{}}
	s.work.Go(s.accept)
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
	s.Without(old)
	return s.Backend()
}

// Without has no more connections go to the backend at a port.
func (s *Service) Without(port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = slices.DeleteFunc(s.ports, func(p int) bool { return p == port })
}

// Only has all connections go to the backend at a port from now on. Those to others are
// closed.
func (s *Service) Only(port int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ports = []int{port}
	for conn, to := range s.conns {
		if to != port {
			_ = conn.Close()
		}
	}
}

func (s *Service) accept() {
	for {
		conn, err := s.listener.Accept()
		if err != nil {
			return // closed
		}
		s.work.Go(func() { s.serve(conn) })
	}
}

// serve passes a connection on until one end closes it.
func (s *Service) serve(conn net.Conn) {
	defer func() { _ = conn.Close() }()
	port, ok := s.choose(conn)
	defer s.forget(conn)
	if !ok {
		return
	}
	from := &net.TCPAddr{IP: conn.RemoteAddr().(*net.TCPAddr).IP}
	backend, err := (&net.Dialer{LocalAddr: from}).Dial("tcp", "127.0.0.1:"+strconv.Itoa(port))
	if err != nil {
		return // nobody listens there
	}
	defer func() { _ = backend.Close() }()
	s.work.Go(func() {
		_, _ = io.Copy(backend, conn)
		_ = backend.(*net.TCPConn).CloseWrite()
	})
	_, _ = io.Copy(conn, backend)
}

// choose picks a connection's backend. There is none where nobody is behind the Service.
func (s *Service) choose(conn net.Conn) (port int, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.ports) == 0 {
		return 0, false
	}
	port = s.ports[rand.IntN(len(s.ports))]
	s.conns[conn] = port
	return port, true
}

func (s *Service) forget(conn net.Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, conn)
}

// Close ends it, and every connection through it.
func (s *Service) Close() error {
	err := s.listener.Close()
	if errors.Is(err, net.ErrClosed) {
		err = nil
	}
	s.mu.Lock()
	s.closed = true
	for conn := range s.conns {
		_ = conn.Close()
	}
	s.mu.Unlock()
	s.work.Wait()
	return err
}
