package mqtttunnel

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"

	"module-controller/tunnel"
)

// Bounds of the large messages of one base. What is decoded in turn costs each base that
// waits as much as the largest message of the others: a base that sends large ones all the
// time loses those beyond its rate before they are decoded. A real list of 100 modules has
// 20 KB, and is asked for three times a second at most.
const (
	largeBytes = 16 << 10  // a message of more is large
	largeRate  = 512 << 10 // bytes a second, of one base
	largeBurst = 1 << 20   // bytes
	// largeBases is how many bases' rates are known at a time. One that is forgotten begins
	// anew.
	largeBases = 1024
)

// largeMessages has the rates of bases that sent large messages lately.
type largeMessages struct {
	mu sync.Mutex
	// mu guards what follows
	rates *lru.Cache[tunnel.BaseID, *rate.Limiter]
}

func newLargeMessages() *largeMessages {
	rates, err := lru.New[tunnel.BaseID, *rate.Limiter](largeBases)
	if err != nil {
		panic(err) // the size is positive
	}
	return &largeMessages{rates: rates}
}

// permit says whether a message may be decoded, and counts it.
func (l *largeMessages) permit(m received, now time.Time) bool {
	if len(m.payload) <= largeBytes {
		return true
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	of, known := l.rates.Get(m.base)
	if !known {
		of = rate.NewLimiter(largeRate, largeBurst)
		l.rates.Add(m.base, of)
	}
	return of.AllowN(now, len(m.payload))
}
