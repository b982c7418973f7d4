package tunneltest

import (
	"io"
	"net"
	"testing"
)

// Pipes is a listener whose connections need no network, so that time may stand still
// in a test that waits for them: what is sent to it is accepted.
type Pipes chan net.Conn

// Accept implements net.Listener.
func (p Pipes) Accept() (net.Conn, error) {
	if conn, ok := <-p; ok {
		return conn, nil
	}
	return nil, net.ErrClosed
}

// Say connects and sends a text.
func (p Pipes) Say(t *testing.T, text string) net.Conn {
	t.Helper()
	ours, theirs := net.Pipe()
	p <- theirs
	if _, err := io.WriteString(ours, text); err != nil {
		t.Fatal(err)
	}
	return ours
}

// Close implements net.Listener.
func (p Pipes) Close() error { close(p); return nil }

// Addr implements net.Listener.
func (p Pipes) Addr() net.Addr { return &net.TCPAddr{} }
