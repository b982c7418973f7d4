package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"sync"
)

// listen listens at all ports, or at none.
func (s *Server) listen(ctx context.Context) (all []net.Listener, err error) {
	if _, err := s.serving.get(nil); err != nil { // before the first handshake, which has little time
		return nil, fmt.Errorf("serve the kubelet's API: %w", err)
	}
	secured := &tls.Config{
		MinVersion: tls.VersionTLS12, GetCertificate: s.serving.get,
		NextProtos: []string{"http/1.1"},  // a stream takes the connection over
		ClientAuth: tls.RequestClientCert, // a token may be sent instead: see admit
	}
	slots := make(chan struct{}, maxConnections)
	for _, address := range s.ports.addresses() {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			for _, open := range all {
				err = errors.Join(err, open.Close())
			}
			return nil, fmt.Errorf("listen for the kubelet's API on %s: %w", address, err)
		}
		all = append(all, tls.NewListener(bounded{l, slots}, secured))
	}
	return all, nil
}

// bounded closes at once what is connected beyond the slots, which listeners share.
type bounded struct {
	net.Listener
	slots chan struct{}
}

func (b bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.slots <- struct{}{}:
			return &slot{Conn: c, free: sync.OnceFunc(func() { <-b.slots })}, nil
		default:
			_ = c.Close() // there is nobody to tell
		}
	}
}

// slot is a connection that has one of the slots until it is closed.
type slot struct {
	net.Conn
	free func()
}

func (s *slot) Close() error {
	s.free()
	return s.Conn.Close()
}
