package httptunnel

import (
	"net/http"
	"net/netip"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"

	"module-controller/tunnel"
)

// refusal is why a request is refused.
type refusal struct {
	status int
	reason string // for metrics and logs; it has few values
	err    error  // tells the sender what to do
}

func refuse(status int, reason string, err error) *refusal { return &refusal{status, reason, err} }

func forbid(reason string, err error) *refusal { return refuse(http.StatusForbidden, reason, err) }

// refused notes a refusal of what the sender of a request says, and gives what is answered.
// identity is the base that it speaks for; empty where that is not known.
func (t *Tunnel) refused(source netip.Addr, identity string, no *refusal) (int, error) {
	t.note(source, identity, no)
	return no.status, no.err
}

// note counts and tells a refusal.
func (t *Tunnel) note(source netip.Addr, identity string, no *refusal) {
	t.meter.Dropped(Name, no.reason)
	t.refusals.Tell("heartbeat refused", no.reason, source.String(),
		zap.Stringer("from", source), zap.String("identity", identity), zap.Error(no.err))
}

// identified names a base in the log.
func identified(b tunnel.BaseID) []zap.Field {
	return []zap.Field{zap.String("env", b.Env), zap.String("identity", b.Identity)}
}

// disbelieve counts and tells that a base's answer is not believed, and gives why.
func (t *Tunnel) disbelieve(r *remote, q request, reason string, why error) error {
	t.meter.Dropped(Name, reason)
	t.refusals.Tell("answer dropped", reason, r.base.String(), append(identified(r.base),
		zap.Stringer("at", r.at), zap.String("path", q.path), zap.Error(why),
		zap.String("remedy", "no setting changes it: see which version of the runtime it is, and what listens there"))...)
	return why
}

// unforwarded are what changes that heartbeats reach no owner, by the reason.
var unforwarded = map[string]string{
	"peer_busy":        "give the replica that owns the base more CPU, or run more replicas",
	"peer_unreachable": "let replicas reach each other at POD_IP and PEER_LISTEN_PORT; a replica that was killed is asked no more once its bases have other owners",
}

// lose counts and tells that a heartbeat is not forwarded. Its base speaks again: peers are told
// apart, with one of their bases as an example.
func (t *Tunnel) lose(l letter, to Peer, reason string, why error) {
	t.meter.Dropped(Name, reason)
	t.refusals.Tell("heartbeat not forwarded", reason, to.Address, append(identified(l.heartbeat.Base),
		zap.String("to", to.Address), zap.Error(why), zap.String("remedy", unforwarded[reason]))...)
}

// maxWhy is how many bytes of a reason are shown.
const maxWhy = 512

// show has a refusal shown where the sender runs. Nothing that the heartbeat says chooses the
// place: it is that of the address from which the connection came. What could not be found
// out now may be found out at the next heartbeat.
func (t *Tunnel) show(source netip.Addr, no *refusal) {
	if no.status != http.StatusServiceUnavailable {
		t.cfg.Refused(source, no.reason, tunnel.Say(no.err.Error(), maxWhy))
	}
}

// newLRU makes a cache of a size that is positive.
func newLRU[K comparable, V any](size int) *lru.LRU[K, V] {
	cache, err := lru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err)
	}
	return cache
}
