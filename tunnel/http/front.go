package httptunnel

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"

	"module-controller/tunnel"
)

// front is a listener and what is served on it.
type front struct {
	net.Listener
	handler http.Handler
}

// listen opens the ports for bases and, where there are peers, for them.
func (t *Tunnel) listen(ctx context.Context, sink tunnel.Sink) ([]front, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", t.cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("listen for heartbeats: %w", err)
	}
	fronts := []front{t.baseFront(l, sink)}
	if t.cfg.Peers == nil {
		return fronts, nil
	}
	p, err := (&net.ListenConfig{}).Listen(ctx, "tcp", t.cfg.ListenPeers)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("listen for peers: %w", err), l.Close())
	}
	return append(fronts, t.peerFront(p, sink)), nil
}

// baseFront serves bases, over TLS where there is a certificate.
func (t *Tunnel) baseFront(l net.Listener, sink tunnel.Sink) front {
	may := limits{t.cfg.MaxConnections, t.cfg.ConnectionsEach}
	all := t.bounded(may)
	l = all.Listen(l)
	if t.cfg.CertFile != "" {
		l = tls.NewListener(l, t.cfg.certificates(t.log).tls())
	}
	return front{l, may.sparing(all, t.handler(sink))}
}

// peerFront serves peers, who prove that they are members before a request is read.
func (t *Tunnel) peerFront(l net.Listener, sink tunnel.Sink) front {
	l = t.bounded(limits{2 * maxOutboxes, maxOutboxes / 16}).Listen(l)
	return front{tls.NewListener(l, t.cfg.Key.tls(t.admitPeer)), t.peerHandler(sink)}
}
