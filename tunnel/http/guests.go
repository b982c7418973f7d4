package httptunnel

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"golang.org/x/time/rate"
)

const (
	// maxGuests bounds the senders that are remembered, which is more than a fleet's.
	// One that is forgotten begins anew.
	maxGuests = 16384
	// forgetAfter is how long after its last heartbeat an identity no longer counts.
	forgetAfter = 5 * time.Minute
	// burst is for how many seconds' worth of new identities a sender may save up.
	burst = 16
	// beatsEach and beatsBurst bound the heartbeats of one identity. A real base sends
	// one in 12 s.
	beatsEach  = 50 * time.Millisecond
	beatsBurst = 40
)

// guests bound for how many identities each sender speaks, how fast it adds some, and how
// often it speaks. All else that a base costs begins with its first heartbeat.
type guests struct {
	// limits gives what holds now: how many identities one sender may add a second, and has
	// at a time.
	limits func() (perSecond, most int)

	mu sync.Mutex
	// mu guards what follows
	known *lru.LRU[string, *guest] // by speaker
}

// guest is one sender.
type guest struct {
	fresh  *rate.Limiter     // of identities that it has not used yet
	voices map[string]*voice // at most as many as there may be
}

// voice is one identity as a sender uses it.
type voice struct {
	last  time.Time
	beats *rate.Limiter
}

func newGuests(perSecond, most int) *guests {
	return &guests{limits: func() (int, int) { return perSecond, most }, known: newLRU[string, *guest](maxGuests)}
}

// admit takes a heartbeat of an identity from a sender, or refuses it.
func (g *guests) admit(sender, identity string, now time.Time) *refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	perSecond, most := g.limits()
	s, ok := g.known.Get(sender)
	if !ok {
		s = &guest{fresh: rate.NewLimiter(rate.Limit(perSecond), perSecond*burst), voices: map[string]*voice{}}
		g.known.Add(sender, s)
	}
	s.follow(perSecond, now)
	v := s.voices[identity]
	if v == nil {
		if no := s.begin(sender, most, now); no != nil {
			return no
		}
		v = &voice{beats: rate.NewLimiter(rate.Every(beatsEach), beatsBurst)}
		s.voices[identity] = v
	}
	v.last = now
	if !v.beats.AllowN(now, 1) {
		return refuse(http.StatusTooManyRequests, "too_often", fmt.Errorf("more than one heartbeat in %s of one identity: send one in 12 s", beatsEach))
	}
	return nil
}

// follow has a sender add identities as fast as it may now.
func (s *guest) follow(perSecond int, now time.Time) {
	if s.fresh.Limit() != rate.Limit(perSecond) {
		s.fresh.SetLimitAt(now, rate.Limit(perSecond))
		s.fresh.SetBurstAt(now, perSecond*burst)
	}
}

// begin refuses another identity of a sender that has too many.
func (s *guest) begin(sender string, most int, now time.Time) *refusal {
	if len(s.voices) >= most {
		for id, v := range s.voices {
			if now.Sub(v.last) > forgetAfter {
				delete(s.voices, id)
			}
		}
	}
	switch {
	case len(s.voices) >= most:
		return refuse(http.StatusTooManyRequests, "too_many_identities",
			fmt.Errorf("%s speaks for %d bases already: raise HTTP_TUNNEL_MAX_IDENTITIES if that many are there", sender, len(s.voices)))
	case !s.fresh.AllowN(now, 1):
		return refuse(http.StatusTooManyRequests, "new_identity_rate",
			errors.New("too many new identities from one sender: the base's next heartbeats are taken in turn; raise HTTP_TUNNEL_NEW_IDENTITIES if many bases share an address"))
	}
	return nil
}

// budget is a number of mistakes that each source may make. What was right once is none:
// many may be behind one address, and one that sends junk must not silence the others.
type budget struct {
	mu sync.Mutex
	// mu guards what follows
	left  *lru.LRU[netip.Addr, *rate.Limiter]
	right *lru.LRU[hash, struct{}] // tokens that were somebody's when they were seen last
}

// hash is a token's. The token itself is not kept.
type hash [sha256.Size]byte

func hashOf(token string) hash { return sha256.Sum256([]byte(token)) }

// mistakes may be made at once, and one more each mistakeEach.
const (
	mistakes    = 16
	mistakeEach = time.Second
)

func newBudget() *budget {
	return &budget{left: newLRU[netip.Addr, *rate.Limiter](maxGuests), right: newLRU[hash, struct{}](maxGuests)}
}

// allows reports whether a token of a source may be looked at: it was right, or the source
// may make a mistake.
func (b *budget) allows(source netip.Addr, token hash, now time.Time) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if _, was := b.right.Get(token); was {
		return true
	}
	l, ok := b.left.Get(source)
	return !ok || l.TokensAt(now) >= 1
}

// earn takes in that a token is right.
func (b *budget) earn(token hash) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.right.Add(token, struct{}{})
}

// spend counts a mistake.
func (b *budget) spend(source netip.Addr, token hash, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.right.Remove(token)
	l, ok := b.left.Get(source)
	if !ok {
		l = rate.NewLimiter(rate.Every(mistakeEach), mistakes)
		b.left.Add(source, l)
	}
	l.AllowN(now, 1)
}
