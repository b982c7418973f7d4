package httptunnel

import (
	"errors"
	"net/http"

	"go.uber.org/zap"

	"module-controller/tunnel"
)

// Peers are the replicas among which the bases are distributed. A base's heartbeat may
// reach any of them: they are behind one Service.
type Peers interface {
	// Owner gives the replica to forward a base's heartbeat to; the zero Peer if that is
	// this one, or unknown, or takes none. It returns at once.
	Owner(tunnel.BaseID) Peer
	// Owns says whether another replica owns a base now. It returns at once.
	Owns(tunnel.BaseID) bool
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

const peerPath = "/heartbeat"

// admitPeer reports whether the key of who connects is a member's.
func (t *Tunnel) admitPeer(fingerprint string) bool {
	if t.cfg.Peers.Member(fingerprint) {
		return true
	}
	t.meter.Dropped(Name, "peer_unauthorized")
	t.refusals.Tell("peer refused", "peer_unauthorized", fingerprint, zap.String("key", fingerprint), zap.Error(errNotAPeer))
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
		return t.refused(sourceOf(r), h.Base.Identity, no)
	}
	t.finder.announces(h.Sender, h.Received)
	sink.Heartbeat(h)
	return http.StatusOK, nil
}

// passedOn reads a heartbeat that a peer passes on. Who sent it is taken over from the
// peer: the connection is not the sender's. Where nothing was proved, it comes from a peer
// that asks for less than this one. With a refusal it gives what was read.
func (t *Tunnel) passedOn(r *http.Request) (tunnel.Heartbeat, *refusal) {
	h, _, no := t.read(r)
	if no != nil {
		return tunnel.Heartbeat{}, no
	}
	var err error
	if h.Sender, err = proofOf(r.Header); err != nil {
		return *h, refuse(http.StatusBadRequest, "bad_proof", err)
	}
	if !h.Sender.Bound && t.cfg.Auth != AuthAnyone {
		return *h, forbid("unproved", errors.New("the peer proved nothing of the sender: let all replicas have one HTTP_TUNNEL_AUTH"))
	}
	return *h, t.place(h)
}
