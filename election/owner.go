package election

import (
	"context"
	"net/netip"
	"time"

	"go.uber.org/zap"

	"module-controller/shard"
	"module-controller/tunnel"
)

// Claim says whether this replica may act for a base. Calling Claim for an unknown
// base registers interest in it; it is claimed once it is assigned to us, and Changed
// is called then.
func (r *Replica) Claim(id tunnel.BaseID) (shard.Claim, bool) {
	key, err := r.cfg.Name(id)
	if err != nil {
		return shard.Claim{}, false
	}
	now := time.Now()
	r.mu.Lock()
	claim, held := r.state.Claim(key, now)
	r.mu.Unlock()
	if held {
		return claim, true
	}
	exists := r.hasNode(id)
	r.mu.Lock()
	first := r.state.Request(key, exists, now)
	r.mu.Unlock()
	if first {
		r.queue.Add(key)
	}
	return shard.Claim{}, false
}

// Held says whether a base is this replica's, also while it may not act. Asking
// registers no interest.
func (r *Replica) Held(id tunnel.BaseID) bool {
	key, err := r.cfg.Name(id)
	if err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Held(key)
}

// NewWait says whether bases which have neither a Lease nor a Node wait, because renewals of
// Leases are behind.
func (r *Replica) NewWait() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.NewWait()
}

// Noted gives the annotations that a base's Lease was last seen to have, which must not be
// changed; nil where there is no Lease.
func (r *Replica) Noted(id tunnel.BaseID) map[string]string {
	key, err := r.cfg.Name(id)
	if err != nil {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if lease := r.bases[key]; lease != nil {
		return lease.Annotations
	}
	return nil
}

// Drained says that nothing is in flight on a base that is to be handed over. It
// returns at once.
func (r *Replica) Drained(id tunnel.BaseID) { r.tell(id, r.state.Drained) }

// Retire gives up a base that is gone; its Lease is deleted if it is ours. It returns
// at once. A base that is requested after that begins anew.
func (r *Replica) Retire(id tunnel.BaseID) {
	r.tell(id, func(key string) bool { r.state.Retire(key); return true })
}

// tell has the state take something in, and the base reconciled if take says so.
func (r *Replica) tell(id tunnel.BaseID, take func(key string) bool) {
	key, err := r.cfg.Name(id)
	if err != nil {
		return
	}
	r.mu.Lock()
	changed := take(key)
	r.mu.Unlock()
	if changed {
		r.queue.Add(key)
	}
}

// Linked tells whether all tunnels are up and bases can be served; others are preferred
// while they cannot. It returns at once.
func (r *Replica) Linked(up bool) {
	r.mu.Lock()
	changed := r.self.linked != up
	r.self.linked = up
	r.mu.Unlock()
	if changed {
		r.writeNow()
	}
}

// Trouble has the Lease tell why a tunnel is down, for whoever looks at the members: empty
// once none is. It is told with the next renewal, and nothing is decided by it.
func (r *Replica) Trouble(why string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.self.trouble = tunnel.Say(why, maxTrouble)
}

// maxTrouble is how many bytes of it a Lease tells.
const maxTrouble = 256

func (r *Replica) writeNow() { nudge(r.poke) }

// nudge has who listens look again, once for all that happened meanwhile.
func nudge(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Announced says whether members were told once that this one can own bases.
func (r *Replica) Announced() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.announced
}

// Will has the members told by which hash they know what the broker publishes when it
// loses this replica's connection. It returns at once.
func (r *Replica) Will(hash string) {
	r.mu.Lock()
	r.self.will = hash
	r.mu.Unlock()
	r.writeNow()
}

// Disconnected takes in that the broker lost the connection of the member that told
// this hash, which makes it suspect. False: no living member told it, and nothing follows.
func (r *Replica) Disconnected(hash string) bool {
	r.mu.Lock()
	incarnation, ok := r.state.OfWill(hash)
	r.mu.Unlock()
	if ok {
		r.Suspect(incarnation)
	}
	return ok
}

// Suspect takes in a report that an incarnation is gone: its member counts as failed
// sooner, unless it renews. It returns at once.
func (r *Replica) Suspect(incarnation string) {
	r.mu.Lock()
	name, first := r.state.Suspect(incarnation, time.Now())
	r.mu.Unlock()
	if first {
		r.log.Info("member suspected", zap.String("member", name), zap.String("incarnation", incarnation))
	}
}

// Valid says whether this replica may act at all now. What leaves the process for
// a base or for the API server asks here at the last moment.
func (r *Replica) Valid() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Valid(time.Now())
}

// Until is when this replica's right to act ends, unless its membership is renewed
// before; a time that is over where it may not act.
func (r *Replica) Until() time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Until()
}

// Fresh waits until a membership write succeeded that was sent after a time. It
// returns ctx's error when that ends first.
func (r *Replica) Fresh(ctx context.Context, since time.Time) error {
	for {
		r.mu.Lock()
		sent, next := r.sent, r.renewed
		r.mu.Unlock()
		if sent.After(since) {
			return nil
		}
		select {
		case <-next:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// Census counts what this replica owns and should own, and the members that live.
func (r *Replica) Census() shard.Census {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Count(time.Now())
}

// ForwardTo gives the member that a base's heartbeat should be forwarded to, and
// whether that is this replica. Ok is false where nobody is known.
func (r *Replica) ForwardTo(id tunnel.BaseID) (m shard.Member, ours, ok bool) {
	key, err := r.cfg.Name(id)
	if err != nil {
		return shard.Member{}, false, false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok = r.state.ForwardTo(key, time.Now())
	return m, m.Holder == r.cfg.Incarnation, ok
}

// Elsewhere says whether another member owns a base, as far as is known here. It returns at
// once.
func (r *Replica) Elsewhere(id tunnel.BaseID) bool {
	key, err := r.cfg.Name(id)
	if err != nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Elsewhere(key)
}

// KnowsKey says whether a live member proves itself to its peers with a key of that
// fingerprint. It returns at once.
func (r *Replica) KnowsKey(fingerprint string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.KnowsKey(fingerprint)
}

// MemberAt says whether a live member tells that it is at an address. It returns at once.
func (r *Replica) MemberAt(addr netip.Addr) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.MemberAt(addr)
}

// Leads says whether this replica is the one that does for all members what is called so, of
// those that serve an environment, or of all where env is empty. It gives no right: two may
// lead for a while, so what they do must do no harm twice. It returns at once.
func (r *Replica) Leads(name, env string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Leads(name, env, time.Now())
}
