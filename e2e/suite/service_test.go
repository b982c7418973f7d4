package suite

import (
	"io"
	"log"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httputil"
	"strconv"
	"sync"

	"module-controller/e2e/process"
)

// service passes each request on to one of its backends, whichever: what a
// Kubernetes Service does without session affinity.
type service struct {
	mu sync.Mutex
	// mu guards what follows
	ports []int
}

// withService lets heartbeats reach any replica, over HTTP.
func (w *world) withService() *world {
	w.Helper()
	w.withHTTP()
	s := &service{}
	listener, err := (&net.ListenConfig{}).Listen(w.Context(), "tcp", "127.0.0.1:"+strconv.Itoa(w.httpPort))
	w.must(err)
	proxy := &httputil.ReverseProxy{Director: s.direct, ErrorLog: log.New(io.Discard, "", 0)}
	server := &http.Server{Handler: proxy}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	w.Cleanup(func() {
		_ = server.Close()
		<-served
	})
	w.service = s
	return w
}

// backend gives the port of a new backend.
func (s *service) backend() (int, error) {
	port, err := process.FreePort()
	if err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.ports = append(s.ports, port)
	}
	return port, err
}

func (s *service) direct(r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	r.URL.Scheme = "http"
	r.URL.Host = "127.0.0.1:" + strconv.Itoa(s.ports[rand.IntN(len(s.ports))])
}
