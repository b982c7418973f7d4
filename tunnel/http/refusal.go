package httptunnel

import (
	"net/http"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

// refusal is why a request is refused.
type refusal struct {
	status int
	reason string // for metrics and logs; it has few values
	err    error  // tells the sender what to do
}

func refuse(status int, reason string, err error) *refusal { return &refusal{status, reason, err} }

func forbid(reason string, err error) *refusal { return refuse(http.StatusForbidden, reason, err) }

// refused notes a refusal, and gives what is answered.
func (t *Tunnel) refused(source netip.Addr, no *refusal) (int, error) {
	t.note(source, no)
	return no.status, no.err
}

// note counts and tells a refusal.
func (t *Tunnel) note(source netip.Addr, no *refusal) {
	t.meter.Dropped(Name, no.reason)
	t.teller.tell("heartbeat refused", source.String(), no.reason, no.err)
}

const (
	// tellAgain is how long after it was told a refusal of one kind and source is told
	// again.
	tellAgain = time.Minute
	// maxTold bounds how many kinds and sources are remembered, and tellBurst and
	// tellEach how many lines there are when more come.
	maxTold   = 1024
	tellBurst = 64
	tellEach  = time.Second
)

// teller logs refusals, so that who sends many fills no log.
type teller struct {
	log *zap.Logger
	all *rate.Limiter

	mu sync.Mutex
	// mu guards what follows
	told *lru.LRU[subject, time.Time] // when it was told last
}

// subject is what a log line is about.
type subject struct{ about, reason string }

func newTeller(log *zap.Logger) *teller {
	return &teller{log: log, all: rate.NewLimiter(rate.Every(tellEach), tellBurst), told: newLRU[subject, time.Time](maxTold)}
}

// newLRU makes a cache of a size that is positive.
func newLRU[K comparable, V any](size int) *lru.LRU[K, V] {
	cache, err := lru.NewLRU[K, V](size, nil)
	if err != nil {
		panic(err)
	}
	return cache
}

// tell logs that somebody was refused for a reason, unless that was told just now.
func (t *teller) tell(message, about, reason string, err error) {
	if t.due(subject{about, reason}, time.Now()) {
		t.log.Warn(message, zap.String("about", about), zap.String("reason", reason), zap.Error(err))
	}
}

func (t *teller) due(s subject, now time.Time) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if last, ok := t.told.Get(s); ok && now.Sub(last) < tellAgain || !t.all.AllowN(now, 1) {
		return false
	}
	t.told.Add(s, now)
	return true
}
