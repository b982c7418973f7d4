package httptunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"syscall"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
)

// Peers are the replicas among which the bases are shared. A base's heartbeat may
// reach any of them: they stand behind one Service.
type Peers interface {
	// Owner gives where the replica listens that a base's heartbeat is to be passed
	// on to, host:port; empty where that is this one or where nobody is known. It
	// returns at once.
	Owner(tunnel.BaseID) string
	// Refused is told that nobody listens where that replica did. It returns at
	// once.
	Refused(tunnel.BaseID)
	// Token proves to a peer who this replica is.
	Token() (string, error)
	// Admit says why a token is not a peer's, nil where it is. Its error is an
	// ErrUnreviewed where nobody could tell.
	Admit(ctx context.Context, token string) error
}

// ErrUnreviewed says that whose a token is could not be found out now, so nothing of
// the token itself. It is returned wrapped.
var ErrUnreviewed = errors.New("it could not be reviewed")

const (
	peerPath = "/peer/heartbeat"
	// postmen is how many heartbeats are passed on at a time.
	postmen = 8
	// maxLetters is how many wait to be passed on; more are dropped, for bases
	// repeat them.
	maxLetters  = 1024
	peerTimeout = 3 * time.Second
)

// letter is a heartbeat on its way to a peer.
type letter struct {
	base tunnel.BaseID
	to   string
	body []byte
}

// forward has a heartbeat passed on if it is another replica's. It does not block.
func (t *Tunnel) forward(b tunnel.BaseID, body []byte) {
	if t.cfg.Peers == nil {
		return
	}
	to := t.cfg.Peers.Owner(b)
	if to == "" {
		return
	}
	select {
	case t.letters <- letter{b, to, body}:
	default:
		t.meter.Dropped(Name, "peer_busy")
	}
}

// passOn passes heartbeats on until ctx ends.
func (t *Tunnel) passOn(ctx context.Context) {
	for {
		select {
		case l := <-t.letters:
			if err := t.pass(ctx, l); err != nil && ctx.Err() == nil {
				t.meter.Dropped(Name, "peer_unreachable")
				if errors.Is(err, syscall.ECONNREFUSED) {
					t.cfg.Peers.Refused(l.base)
				}
				t.log.Debug("heartbeat not passed on", zap.Stringer("base", l.base), zap.String("to", l.to), zap.Error(err))
			}
		case <-ctx.Done():
			return
		}
	}
}

func (t *Tunnel) pass(ctx context.Context, l letter) error {
	token, err := t.cfg.Peers.Token()
	if err != nil {
		return fmt.Errorf("pass heartbeat on: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+l.to+peerPath, bytes.NewReader(l.body))
	if err != nil {
		return fmt.Errorf("pass heartbeat on: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	answer, err := t.peers.Do(r)
	if err != nil {
		return fmt.Errorf("pass heartbeat on: %w", err)
	}
	_ = answer.Body.Close() // nothing of it is of use
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("pass heartbeat on: the peer answered %s", answer.Status)
	}
	return nil
}

// fromPeer takes a heartbeat that another replica passed on. It goes no further,
// whoever owns the base.
func (t *Tunnel) fromPeer(r *http.Request, sink tunnel.Sink) (int, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	err := errors.New("there are no peers")
	if t.cfg.Peers != nil {
		err = t.cfg.Peers.Admit(r.Context(), token)
	}
	if err != nil {
		return t.refuse(r, err)
	}
	h, _, status, err := t.read(r)
	if err != nil {
		return status, err
	}
	sink.Heartbeat(*h)
	return http.StatusOK, nil
}

// refuse says with which status and why what a peer sent is not taken. A token that
// could not be reviewed may be good: the peer's next heartbeat tries again.
func (t *Tunnel) refuse(r *http.Request, err error) (int, error) {
	t.log.Info("peer refused", zap.String("from", r.RemoteAddr), zap.Error(err))
	if errors.Is(err, ErrUnreviewed) {
		t.meter.Dropped(Name, "peer_unreviewed")
		return http.StatusServiceUnavailable, errors.New("the token cannot be reviewed now")
	}
	t.meter.Dropped(Name, "peer_unauthorized")
	return http.StatusUnauthorized, errors.New("a peer's token is needed")
}

// dial connects to a base; what leaves on the connection is held back once the gate
// is shut.
func (c Config) dial(ctx context.Context, network, address string) (net.Conn, error) {
	conn, err := (&net.Dialer{Timeout: c.Timeout}).DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	return gated{conn, c.Gate}, nil
}

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
