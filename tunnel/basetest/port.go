package basetest

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// healthPath is what Faults.Unhealthy makes answer 500.
const healthPath = "/health"

// ports are what the modules of a base have open, at the base's own address. A module
// opens its port last in its start, and it is closed with what is under way there as
// soon as no module is there that opened it, also when the process ends.
type ports struct {
	base *Base
	work sync.WaitGroup // of those who serve

	open map[int]opened // Base.mu guards it
}

// opened is one port. The server knows its listener only from when it serves, so that
// the listener is closed beside it.
type opened struct {
	server   *http.Server
	listener net.Listener
}

// listen opens a port; false: something else has it. The caller holds Base.mu.
func (p *ports) listen(port int) bool {
	if _, is := p.open[port]; is {
		return true
	}
	l, err := net.Listen("tcp", net.JoinHostPort(p.base.options.At, strconv.Itoa(port))) //nolint:noctx // it is there at once
	if err != nil {
		return false
	}
	if p.open == nil {
		p.open = map[int]opened{}
	}
	s := &http.Server{
		Handler:           http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { p.base.serveModule(w, r, port) }),
		ReadHeaderTimeout: 10 * time.Second,
	}
	p.open[port] = opened{s, l}
	p.work.Go(func() { _ = s.Serve(l) }) // it ends with Close
	return true
}

// keep closes the ports that no module has. The caller holds Base.mu.
func (p *ports) keep(list []*Module) {
	for port, o := range p.open {
		if !slices.ContainsFunc(list, func(m *Module) bool { return m.listensAt(port) }) {
			_ = o.listener.Close()
			_ = o.server.Close()
			delete(p.open, port)
		}
	}
}

// listensAt says whether a module has opened a port.
func (m *Module) listensAt(port int) bool {
	switch m.State {
	case activated, deactivated:
		return m.jar.Listens && m.jar.Port == port
	}
	return false
}

// closePorts closes all ports and waits for those who serve there.
func (b *Base) closePorts() {
	b.mu.Lock()
	b.ports.keep(nil)
	b.mu.Unlock()
	b.ports.work.Wait()
}

// serveModule answers a request to a module. The body of the answer names the module,
// name:version.
func (b *Base) serveModule(w http.ResponseWriter, r *http.Request, port int) {
	if !b.hangRequest(r.Context()) {
		return
	}
	m, ok := b.moduleAt(port, r.URL.Path)
	switch {
	case !ok:
		http.Error(w, "no module serves here", http.StatusNotFound)
	case strings.HasSuffix(r.URL.Path, healthPath) && b.Faults().unhealthy(m.Name):
		http.Error(w, m.key()+" is not well", http.StatusInternalServerError)
	default:
		_, _ = fmt.Fprintln(w, m.key())
	}
}

// hangRequest waits while requests are not answered; false: who asked has gone.
func (b *Base) hangRequest(ctx context.Context) bool {
	for ctx.Err() == nil {
		if f := b.Faults(); !f.Silent && !f.HangRequests {
			return true
		}
		pause(ctx, 20*time.Millisecond)
	}
	return false
}

// moduleAt gives who answers at a port, and counts the request: its only module, or of
// those who share it the one that serves and whose name the path begins with, else any
// that serves.
func (b *Base) moduleAt(port int, path string) (Module, bool) {
	first, _, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	b.mu.Lock()
	defer b.mu.Unlock()
	var found *Module
	for _, m := range inOrder(b.process.modules.list) {
		serves := m.listensAt(port) && (!m.jar.Shared || m.State == activated)
		if serves && (found == nil || m.Name == first) {
			found = m
		}
	}
	if found == nil {
		return Module{}, false
	}
	b.log.requests[found.key()]++
	return found.copy(), true
}
