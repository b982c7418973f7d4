package proxy

import (
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// A piece is what one read gave: bytes, or how the direction ended.
type piece struct {
	bytes []byte
	err   error
	came  time.Time
	delay time.Duration
}

const (
	pieceBytes = 32 << 10
	heldPieces = 64
)

// serve passes one connection on until it ends or is cut.
func (p *Proxy) serve(l net.Listener, client net.Conn) {
	ctx, cut := context.WithCancel(context.Background())
	defer cut()
	defer func() { _ = client.Close() }()
	p.mu.Lock()
	current := p.listener == l
	if current {
		p.cuts[&client] = cut
	}
	p.mu.Unlock()
	if !current {
		reset(client) // it came in the moment of a cut
		return
	}
	defer func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		delete(p.cuts, &client)
	}()
	_, delay := p.gate()
	if !p.pass(ctx, time.Now(), delay) {
		reset(client)
		return
	}
	server, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.target)
	if err != nil {
		reset(client)
		return
	}
	defer func() { _ = server.Close() }()
	p.join(ctx, cut, client, server)
}

// join passes bytes both ways until both directions ended or one failed.
func (p *Proxy) join(ctx context.Context, cut context.CancelFunc, client, server net.Conn) {
	var running sync.WaitGroup
	over := make(chan struct{})
	for _, way := range [][2]net.Conn{{client, server}, {server, client}} {
		pieces := make(chan piece, heldPieces)
		running.Go(func() { p.read(ctx, way[0], pieces) })
		running.Go(func() {
			if !p.write(ctx, way[1], pieces) {
				cut()
			}
		})
	}
	go func() { running.Wait(); close(over) }()
	select {
	case <-over:
	case <-ctx.Done():
		reset(client)
		reset(server)
		<-over
	}
}

// read gives what comes, and last how it ended.
func (p *Proxy) read(ctx context.Context, from net.Conn, to chan<- piece) {
	for {
		buffer := make([]byte, pieceBytes)
		n, err := from.Read(buffer)
		_, delay := p.gate()
		select {
		case to <- piece{bytes: buffer[:n], err: err, came: time.Now(), delay: delay}:
		case <-ctx.Done():
			return
		}
		if err != nil {
			return
		}
	}
}

// write passes pieces on. It says whether the direction ended in order.
func (p *Proxy) write(ctx context.Context, to net.Conn, pieces <-chan piece) bool {
	for {
		var next piece
		select {
		case next = <-pieces:
		case <-ctx.Done():
			return false
		}
		if !p.pass(ctx, next.came, next.delay) {
			return false
		}
		if _, err := to.Write(next.bytes); err != nil {
			return false
		}
		if next.err != nil {
			half, ok := to.(interface{ CloseWrite() error })
			return errors.Is(next.err, io.EOF) && ok && half.CloseWrite() == nil
		}
	}
}

// reset ends a connection so that the other side gets an error, not an end.
func reset(c net.Conn) {
	if tcp, ok := c.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	_ = c.Close()
}
