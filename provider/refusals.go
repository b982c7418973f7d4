package provider

import (
	"sync"
	"time"

	"go.uber.org/zap"

	"module-controller/tunnel"
)

// tellEvery is how often refusals of one kind are logged.
const tellEvery = time.Minute

// refusals counts and tells which bases are refused. What is refused may come by the
// hundred thousand: each is counted, and each kind is told once a minute with an example.
type refusals struct {
	meter Meter
	log   *zap.Logger

	mu sync.Mutex
	// mu guards what follows
	kinds map[string]*untold
}

// untold is a kind of refusals: when it was told last, and how many there were since.
type untold struct {
	at    time.Time
	count int
}

func newRefusals(meter Meter, log *zap.Logger) *refusals {
	return &refusals{meter: meter, log: log, kinds: map[string]*untold{}}
}

// add counts a refusal; detail explains this very one, nil for nothing more than its kind.
func (r *refusals) add(h tunnel.Heartbeat, why *refusal, detail error, now time.Time) {
	r.meter.Dropped(h.Tunnel, why.kind)
	n := r.due(why.kind, now)
	if n == 0 {
		return
	}
	if detail == nil {
		detail = why
	}
	r.log.Warn("base refused", zap.String("env", h.Base.Env), zap.String("identity", h.Base.Identity), zap.String("tunnel", h.Tunnel),
		zap.String("kind", why.kind), zap.Int("refused", n), zap.Error(detail))
}

// due counts a refusal of a kind, and gives how many are to be told now; 0 for none.
func (r *refusals) due(kind string, now time.Time) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	k := r.kinds[kind]
	if k == nil {
		k = &untold{}
		r.kinds[kind] = k
	}
	k.count++
	if !k.at.IsZero() && now.Sub(k.at) < tellEvery {
		return 0
	}
	n := k.count
	k.at, k.count = now, 0
	return n
}
