package httptunnel

import (
	"context"
	"net"

	"module-controller/tunnel"
)

// dial connects to a base, where it may be; writes to the connection fail while the gate
// is shut.
func (c Config) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: c.Timeout, Control: newPolicy(c).control}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return gated{conn, c.Gate}, nil
}

// gated is a connection to a base, where bytes leave.
type gated struct {
	net.Conn
	gate tunnel.Gate
}

func (g gated) Write(p []byte) (int, error) {
	if !g.gate.Valid() {
		return 0, tunnel.ErrShut
	}
	return g.Conn.Write(p)
}
