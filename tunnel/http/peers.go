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

// Peers are the replicas among which the bases are distributed. A base's heartbeat may
// reach any of them: they are behind one Service.
type Peers interface {
	// Owner gives the address, host:port, of the replica to forward a base's heartbeat
	// to; empty if that is this one or unknown. It returns at once.
	Owner(tunnel.BaseID) string
	// Refused is called when the connection to a base's owner was refused: its replica
	// is suspected. It returns at once.
	Refused(tunnel.BaseID)
	// Token gives the token that authenticates this replica to a peer.
	Token() (string, error)
	// Admit gives nil if a token is a peer's, else why not: an ErrUnreviewed if it could
	// not be reviewed.
	Admit(ctx context.Context, token string) error
}

// ErrUnreviewed: the token could not be reviewed now, and may be good. It is returned
// wrapped.
var ErrUnreviewed = errors.New("token could not be reviewed")

const (
	peerPath = "/peer/heartbeat"
	// forwarders is how many heartbeats are forwarded at a time.
	forwarders = 8
	// maxQueue is how many wait to be forwarded; more are dropped, as bases repeat them.
	maxQueue    = 1024
	peerTimeout = 3 * time.Second
)

// forward is a heartbeat to be forwarded to a peer.
type forward struct {
	base   tunnel.BaseID
	sender tunnel.Sender // as it was proved here
	to     string
	body   []byte
}

// enqueue queues a heartbeat to be forwarded if its base is another replica's. It does
// not block.
func (t *Tunnel) enqueue(h *tunnel.Heartbeat, body []byte) {
	if t.cfg.Peers == nil {
		return
	}
	to := t.cfg.Peers.Owner(h.Base)
	if to == "" {
		return
	}
	select {
	case t.queue <- forward{h.Base, h.Sender, to, body}:
	default:
		t.meter.Dropped(Name, "peer_busy")
	}
}

// runForwarder forwards queued heartbeats until ctx ends.
func (t *Tunnel) runForwarder(ctx context.Context) {
	for {
		select {
		case f := <-t.queue:
			if err := t.send(ctx, f); err != nil && ctx.Err() == nil {
				t.meter.Dropped(Name, "peer_unreachable")
				if errors.Is(err, syscall.ECONNREFUSED) {
					t.cfg.Peers.Refused(f.base)
				}
				t.log.Debug("heartbeat not forwarded", zap.Stringer("base", f.base), zap.String("to", f.to), zap.Error(err))
			}
		case <-ctx.Done():
			return
		}
	}
}

func (t *Tunnel) send(ctx context.Context, f forward) error {
	token, err := t.cfg.Peers.Token()
	if err != nil {
		return fmt.Errorf("forward heartbeat: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, peerTimeout)
	defer cancel()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+f.to+peerPath, bytes.NewReader(f.body))
	if err != nil {
		return fmt.Errorf("forward heartbeat: %w", err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	if err := setProof(r.Header, f.sender); err != nil {
		return err
	}
	answer, err := t.peers.Do(r)
	if err != nil {
		return fmt.Errorf("forward heartbeat: %w", err)
	}
	_ = answer.Body.Close() // the status says it all
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("forward heartbeat: the peer answered %s", answer.Status)
	}
	return nil
}

// fromPeer accepts a heartbeat that another replica forwarded, or gives the status and
// reason of a refusal. It is not forwarded again, whoever owns the base.
func (t *Tunnel) fromPeer(r *http.Request, sink tunnel.Sink) (int, error) {
	token, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	err := errors.New("there are no peers")
	if t.cfg.Peers != nil {
		err = t.cfg.Peers.Admit(r.Context(), token)
	}
	if err != nil {
		return t.refuse(r, err)
	}
	h, _, no := t.passedOn(r)
	if no != nil {
		return t.refused(sourceOf(r), no)
	}
	sink.Heartbeat(*h)
	return http.StatusOK, nil
}

// passedOn reads a heartbeat that a peer passes on. Who sent it is taken over from the
// peer: the connection is not the sender's. Where nothing was proved, it comes from a peer
// that asks for less than this one.
func (t *Tunnel) passedOn(r *http.Request) (*tunnel.Heartbeat, []byte, *refusal) {
	h, body, no := t.read(r)
	if no != nil {
		return nil, nil, no
	}
	var err error
	if h.Sender, err = proofOf(r.Header); err != nil {
		return nil, nil, refuse(http.StatusBadRequest, "bad_proof", err)
	}
	if !h.Sender.Bound && t.cfg.Auth != AuthAnyone {
		return nil, nil, forbid("unproved", errors.New("the peer proved nothing of the sender: let all replicas have one HTTP_TUNNEL_AUTH"))
	}
	return h, body, t.place(h)
}

// refuse gives the status and reason with which a peer's request is refused. A token
// that could not be reviewed may be good: the peer's next heartbeat tries again.
func (t *Tunnel) refuse(r *http.Request, err error) (int, error) {
	t.log.Info("peer refused", zap.String("from", r.RemoteAddr), zap.Error(err))
	if errors.Is(err, ErrUnreviewed) {
		t.meter.Dropped(Name, "peer_unreviewed")
		return http.StatusServiceUnavailable, errors.New("the token cannot be reviewed now")
	}
	t.meter.Dropped(Name, "peer_unauthorized")
	return http.StatusUnauthorized, errors.New("a peer's token is needed")
}

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
