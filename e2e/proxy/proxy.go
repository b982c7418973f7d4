// Package proxy stands between a program and a TCP server and lets tests cut,
// freeze or slow what passes.
//
// It guarantees that bytes arrive whole and in order while a connection lives, that
// an orderly end of one direction is passed on, and that Close leaves no goroutine.
// It does not guarantee at which byte a change of mode takes effect: what is being
// written at that moment may still arrive.
//
// A Proxy may be used by several goroutines at once.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"

	"module-controller/e2e/process"
)

// A Proxy listens on a loopback address and passes connections to its target.
type Proxy struct {
	target, addr string
	running      sync.WaitGroup

	mu       sync.Mutex // mu guards what follows
	listener net.Listener
	cuts     map[*net.Conn]context.CancelFunc // by connection; each ends it
	flowing  chan struct{}                    // closed while bytes flow
	delay    time.Duration
	closed   bool
}

// Start listens on a free loopback port and passes what comes to target, a
// host:port. Who gets a Proxy must close it.
func Start(target string) (*Proxy, error) {
	port, err := process.FreePort()
	if err != nil {
		return nil, err
	}
	p := &Proxy{
		target: target, addr: "127.0.0.1:" + strconv.Itoa(port),
		cuts: map[*net.Conn]context.CancelFunc{}, flowing: make(chan struct{}),
	}
	close(p.flowing)
	return p, p.Pass()
}

// Addr is where it listens, as host:port. It stays the same in every mode.
func (p *Proxy) Addr() string { return p.addr }

// Pass lets bytes flow at once, also those that were held.
func (p *Proxy) Pass() error { return p.Delay(0) }

// Delay lets bytes flow, each a time after it came. That holds for those that come
// from now on, and for new connections.
func (p *Proxy) Delay(d time.Duration) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.delay = d
	if !isClosed(p.flowing) {
		close(p.flowing)
	}
	return p.listen()
}

// Blackhole accepts and keeps connections and passes nothing on, neither bytes nor
// ends. About 2 MB a direction are held, then what the kernel buffers.
func (p *Proxy) Blackhole() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if isClosed(p.flowing) {
		p.flowing = make(chan struct{})
	}
	return p.listen()
}

// Cut resets all connections and refuses new ones.
func (p *Proxy) Cut() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, cut := range p.cuts {
		cut()
	}
	if p.listener == nil {
		return nil
	}
	l := p.listener
	p.listener = nil
	return l.Close()
}

// Close resets all connections, listens no more, and returns when nothing runs.
func (p *Proxy) Close() error {
	p.mu.Lock()
	p.closed = true
	p.mu.Unlock()
	err := p.Cut()
	p.running.Wait()
	return err
}

// listen accepts connections, unless it does already. The caller holds mu.
func (p *Proxy) listen() error {
	if p.closed {
		return errors.New("listen: the proxy is closed")
	}
	if p.listener != nil {
		return nil
	}
	l, err := net.Listen("tcp", p.addr)
	if err != nil {
		return fmt.Errorf("listen: %w", err)
	}
	p.listener = l
	p.running.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // it was closed
			}
			p.running.Go(func() { p.serve(l, c) })
		}
	})
	return nil
}

// gate gives what is closed while bytes flow, and how long they take.
func (p *Proxy) gate() (flowing <-chan struct{}, delay time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.flowing, p.delay
}

// pass waits until what came at a time may go on. It says no when ctx ends first.
func (p *Proxy) pass(ctx context.Context, came time.Time, delay time.Duration) bool {
	timer := time.NewTimer(time.Until(came.Add(delay)))
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
		return false
	}
	flowing, _ := p.gate()
	select {
	case <-flowing:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}
