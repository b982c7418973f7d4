package kubelet

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
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
	for _, address := range s.ports.addresses() {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
		if err != nil {
			for _, open := range all {
				err = errors.Join(err, open.Close())
			}
			return nil, fmt.Errorf("listen for the kubelet's API on %s: %w", address, err)
		}
		all = append(all, tls.NewListener(s.connections.Listen(l), secured))
	}
	return all, nil
}
