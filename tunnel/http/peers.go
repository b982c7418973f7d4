package httptunnel

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"syscall"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
)

// Peers are the replicas among which the bases are distributed. A base's heartbeat may
// reach any of them: they are behind one Service.
type Peers interface {
	// Owner gives the replica to forward a base's heartbeat to; the zero Peer if that is
	// this one, or unknown, or takes none. It returns at once.
	Owner(tunnel.BaseID) Peer
	// Refused is called when the connection to a base's owner was refused: its replica
	// is suspected. It returns at once.
	Refused(tunnel.BaseID)
	// Member reports whether a Key with that fingerprint is a live member's. It returns
	// at once.
	Member(fingerprint string) bool
}

// Peer is another replica, as its membership Lease tells of it.
type Peer struct {
	// Address is where it takes forwarded heartbeats, host:port.
	Address string
	// Fingerprint is that of its session's Key.
	Fingerprint string
}

const (
	peerPath = "/heartbeat"
	// maxQueue is how many heartbeats wait to be forwarded to one peer; more are dropped,
	// as bases repeat them.
	maxQueue = 1024
	// maxOutboxes bounds the peers that heartbeats are forwarded to at a time.
	maxOutboxes = 256
	peerTimeout = 3 * time.Second
	// forwardFor is how long a heartbeat is worth forwarding: then the base sends another.
	forwardFor = 12 * time.Second
	// outboxIdle is how long a connection to a peer is kept that gets nothing.
	outboxIdle = time.Minute
)

// forward is a heartbeat to be forwarded.
type forward struct {
	base     tunnel.BaseID
	sender   tunnel.Sender // as it was proved here
	body     []byte
	received time.Time
}

// outbox has the heartbeats for one peer. Each peer has its own, so that one that does
// not answer delays those for no other.
type outbox struct {
	to     Peer
	queue  chan forward
	client *http.Client
}

// enqueue queues a heartbeat to be forwarded if its base is another replica's. It does
// not block.
func (t *Tunnel) enqueue(h *tunnel.Heartbeat, body []byte) {
	if t.cfg.Peers == nil {
		return
	}
	to := t.cfg.Peers.Owner(h.Base)
	if to == (Peer{}) {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	box := t.outbox(to)
	if box == nil {
		t.meter.Dropped(Name, "peer_busy")
		return
	}
	select {
	case box.queue <- forward{h.Base, h.Sender, body, h.Received}:
	default:
		t.meter.Dropped(Name, "peer_busy")
	}
}

// outbox gives a peer's, which it makes if need be; nil where there are too many or Run
// does not run. The caller holds mu.
func (t *Tunnel) outbox(to Peer) *outbox {
	if box := t.outboxes[to]; box != nil {
		return box
	}
	if t.sink == nil || len(t.outboxes) >= maxOutboxes {
		return nil
	}
	box := &outbox{to: to, queue: make(chan forward, maxQueue), client: t.cfg.Key.client(to)}
	t.outboxes[to] = box
	ctx := t.forwarding
	t.work.Go(func() { t.runOutbox(ctx, box) })
	return box
}

// runOutbox forwards a peer's heartbeats until ctx ends or none came for a while.
func (t *Tunnel) runOutbox(ctx context.Context, box *outbox) {
	defer box.client.CloseIdleConnections()
	idle := time.NewTimer(outboxIdle)
	defer idle.Stop()
	for {
		select {
		case f := <-box.queue:
			t.forward(ctx, box, f)
			idle.Reset(outboxIdle)
		case <-idle.C:
			if t.discard(box) {
				return
			}
			idle.Reset(outboxIdle)
		case <-ctx.Done():
			return
		}
	}
}

// discard forgets an outbox that is empty, and says whether it was.
func (t *Tunnel) discard(box *outbox) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(box.queue) > 0 {
		return false
	}
	delete(t.outboxes, box.to)
	return true
}

func (t *Tunnel) forward(ctx context.Context, box *outbox, f forward) {
	if time.Since(f.received) > forwardFor {
		t.meter.Dropped(Name, "peer_busy")
		return
	}
	err := box.send(ctx, f)
	if err == nil || ctx.Err() != nil {
		return
	}
	t.meter.Dropped(Name, "peer_unreachable")
	if errors.Is(err, syscall.ECONNREFUSED) {
		t.cfg.Peers.Refused(f.base)
	}
	t.log.Debug("heartbeat not forwarded", zap.Stringer("base", f.base), zap.String("to", box.to.Address), zap.Error(err))
}

func (b *outbox) send(ctx context.Context, f forward) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "https://"+b.to.Address+peerPath, bytes.NewReader(f.body))
	if err != nil {
		return fmt.Errorf("forward heartbeat: %w", err)
	}
	if err := setProof(r.Header, f.sender); err != nil {
		return err
	}
	answer, err := b.client.Do(r)
	if err != nil {
		return fmt.Errorf("forward heartbeat: %w", err)
	}
	_ = answer.Body.Close() // the status says it all
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("forward heartbeat: the peer answered %s", answer.Status)
	}
	return nil
}

// admitPeer reports whether the key of who connects is a member's.
func (t *Tunnel) admitPeer(fingerprint string) bool {
	if t.cfg.Peers.Member(fingerprint) {
		return true
	}
	t.meter.Dropped(Name, "peer_unauthorized")
	t.teller.tell("peer refused", fingerprint, "peer_unauthorized", errNotAPeer)
	return false
}

// peerHandler serves what peers forward. TLS has proved that they are members.
func (t *Tunnel) peerHandler(sink tunnel.Sink) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST "+peerPath, func(w http.ResponseWriter, r *http.Request) {
		if status, err := t.fromPeer(r, sink); err != nil {
			http.Error(w, err.Error(), status)
		}
	})
	return mux
}

// fromPeer accepts a heartbeat that another replica forwarded, or gives the status and
// reason of a refusal. It is not forwarded again, whoever owns the base.
func (t *Tunnel) fromPeer(r *http.Request, sink tunnel.Sink) (int, error) {
	h, no := t.passedOn(r)
	if no != nil {
		return t.refused(sourceOf(r), no)
	}
	sink.Heartbeat(*h)
	return http.StatusOK, nil
}

// passedOn reads a heartbeat that a peer passes on. Who sent it is taken over from the
// peer: the connection is not the sender's. Where nothing was proved, it comes from a peer
// that asks for less than this one.
func (t *Tunnel) passedOn(r *http.Request) (*tunnel.Heartbeat, *refusal) {
	h, _, no := t.read(r)
	if no != nil {
		return nil, no
	}
	var err error
	if h.Sender, err = proofOf(r.Header); err != nil {
		return nil, refuse(http.StatusBadRequest, "bad_proof", err)
	}
	if !h.Sender.Bound && t.cfg.Auth != AuthAnyone {
		return nil, forbid("unproved", errors.New("the peer proved nothing of the sender: let all replicas have one HTTP_TUNNEL_AUTH"))
	}
	return h, t.place(h)
}
