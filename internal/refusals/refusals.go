// Package refusals tells in the log what is refused: the first time at once, and then by the
// minute with how often it was. What is refused may come by the hundred thousand, and from
// senders who choose their names, so lines and memory are bounded whoever sends.
package refusals

import (
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"
	"golang.org/x/time/rate"
)

const (
	// again is how long a refusal that was told is only counted.
	again = time.Minute
	// most is how many lines there are in that time, whoever sends, and each how many of them for
	// one reason: a flood of one kind leaves room for the others. kept is how many refusals are
	// told apart.
	most = 100
	each = 50
	kept = 1024
)

// Log tells refusals. Its methods may be called from any goroutine.
type Log struct {
	log *zap.Logger

	mu sync.Mutex
	// mu guards what follows
	known *lru.LRU[key, *count]
	lines *rate.Limiter
	of    map[string]*rate.Limiter // lines of one reason
	left  int                      // refusals since the last line that would have been told, but for lines
}

// key tells refusals apart.
type key struct{ reason, who string }

// count is of one key: when it was told last, and how many there were since.
type count struct {
	told  time.Time // zero for never
	since int
}

// New makes one that tells log.
func New(log *zap.Logger) *Log {
	known, err := lru.NewLRU[key, *count](kept, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return &Log{log: log, known: known, lines: rate.NewLimiter(rate.Every(again/most), most), of: map[string]*rate.Limiter{}}
}

// Tell tells that something was refused, unless it was told less than a minute ago. Refusals
// of one reason, which has few values, are told apart by who, which may be empty. A line has
// the reason, how many times it was so since it was told last, and how many other refusals
// were not told because there are too many.
func (l *Log) Tell(message, reason, who string, fields ...zap.Field) {
	times, left := l.due(key{reason, who}, time.Now())
	if times == 0 {
		return
	}
	fields = append(fields, zap.String("reason", reason), zap.Int("times", times))
	if left > 0 {
		fields = append(fields, zap.Int("notTold", left))
	}
	l.log.Warn(message, fields...)
}

// due counts a refusal, and gives how many are to be told now; 0 for none.
func (l *Log) due(k key, now time.Time) (times, left int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c, known := l.known.Get(k)
	if !known {
		c = &count{}
		l.known.Add(k, c)
	}
	c.since++
	switch {
	case !c.told.IsZero() && now.Sub(c.told) < again:
		return 0, 0
	case !l.share(k.reason).AllowN(now, 1), !l.lines.AllowN(now, 1):
		l.left++
		return 0, 0
	}
	times, left = c.since, l.left
	c.told, c.since, l.left = now, 0, 0
	return times, left
}

// share gives how many lines a reason may have. The caller holds mu.
func (l *Log) share(reason string) *rate.Limiter {
	of := l.of[reason]
	if of == nil {
		of = rate.NewLimiter(rate.Every(again/each), each)
		l.of[reason] = of
	}
	return of
}
