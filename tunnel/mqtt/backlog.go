package mqtttunnel

import (
	"sync"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/internal/arklet"
)

// received is a message that was not decoded yet.
type received struct {
	base    tunnel.BaseID
	kind    arklet.Kind
	topic   string
	payload []byte
	at      time.Time
	sink    tunnel.Sink
}

// announces says whether it is of interest of any base, followed or not.
func (m received) announces() bool {
	return m.kind == arklet.KindHeart || m.kind == arklet.KindBaseline
}

// Bounds of what waits to be decoded. A sound base has one or two messages waiting.
const (
	maxBaseMessages = 16
	maxBaseBytes    = 1 << 20
	maxMessages     = 4096 // of a lane
)

// lane is bases that share the decoder's time with each other, in turn. The bases that
// are followed have one lane and all others another, so that identities that somebody
// invents take at most every second turn from those that are served.
type lane struct {
	waiting  []*queue // the next one first; none is empty
	messages int
	bytes    int
	most     int // bytes
}

const (
	laneFollowed = iota
	laneOthers
	lanes
)

// queue is the messages of one base, in the order in which they came. It stays in its
// lane until it is empty, so that a base's messages are never out of order.
type queue struct {
	base     tunnel.BaseID
	lane     int
	messages []received
	bytes    int
}

// backlog is what one decoder has to decode: in turn for each base, in order for one.
// Whoever sends more than can be decoded loses his own messages, the oldest reports first.
type backlog struct {
	more chan struct{} // something was put in

	mu sync.Mutex
	// mu guards what follows
	byBase map[tunnel.BaseID]*queue
	lanes  [lanes]lane
	turn   int // the lane that is next
}

// newBacklog makes one of at most so many bytes for each lane.
func newBacklog(followed, others int) *backlog {
	return &backlog{
		more: make(chan struct{}, 1), byBase: map[tunnel.BaseID]*queue{},
		lanes: [lanes]lane{laneFollowed: {most: followed}, laneOthers: {most: others}},
	}
}

// put takes a message in, and gives those that had to go for it, which may be the message
// itself: overdrawn are of its base, crowded of the base that has most in its lane.
func (b *backlog) put(m received, laneOf int) (overdrawn, crowded []received) {
	b.mu.Lock()
	defer b.mu.Unlock()
	q := b.byBase[m.base]
	if q == nil {
		q = &queue{base: m.base, lane: laneOf}
		b.byBase[m.base] = q
		b.lanes[laneOf].waiting = append(b.lanes[laneOf].waiting, q)
	}
	l := &b.lanes[q.lane]
	q.messages = append(q.messages, m)
	q.bytes, l.bytes, l.messages = q.bytes+len(m.payload), l.bytes+len(m.payload), l.messages+1
	for q.overdrawn() {
		overdrawn = append(overdrawn, b.take(q, q.cheapest()))
	}
	for l.crowded() {
		longest := l.longest()
		crowded = append(crowded, b.take(longest, longest.cheapest()))
		if len(longest.messages) == 0 {
			b.remove(longest)
		}
	}
	select {
	case b.more <- struct{}{}:
	default:
	}
	return overdrawn, crowded
}

// next gives the message whose turn it is; false: there is none.
func (b *backlog) next() (received, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for range lanes {
		l := &b.lanes[b.turn]
		b.turn = (b.turn + 1) % lanes
		if len(l.waiting) == 0 {
			continue
		}
		q := l.waiting[0]
		l.waiting[0] = nil
		l.waiting = l.waiting[1:]
		m := b.take(q, 0)
		if len(q.messages) > 0 {
			l.waiting = append(l.waiting, q)
		} else {
			delete(b.byBase, q.base)
		}
		return m, true
	}
	return received{}, false
}

// take takes a message out of a queue; the caller holds mu.
func (b *backlog) take(q *queue, n int) received {
	m := q.messages[n]
	copy(q.messages[n:], q.messages[n+1:])
	q.messages[len(q.messages)-1] = received{}
	q.messages = q.messages[:len(q.messages)-1]
	l := &b.lanes[q.lane]
	q.bytes, l.bytes, l.messages = q.bytes-len(m.payload), l.bytes-len(m.payload), l.messages-1
	return m
}

// remove removes an empty queue; the caller holds mu.
func (b *backlog) remove(q *queue) {
	delete(b.byBase, q.base)
	l := &b.lanes[q.lane]
	for n, other := range l.waiting {
		if other == q {
			l.waiting = append(l.waiting[:n], l.waiting[n+1:]...)
			return
		}
	}
}

func (q *queue) overdrawn() bool {
	return len(q.messages) > maxBaseMessages || q.bytes > maxBaseBytes && len(q.messages) > 1
}

// cheapest is the message that is missed least: the oldest report, for a newer one says
// more; without one the oldest message.
func (q *queue) cheapest() int {
	for n, m := range q.messages {
		if !m.announces() {
			return n
		}
	}
	return 0
}

func (l *lane) crowded() bool { return l.messages > maxMessages || l.bytes > l.most }

// longest is the queue with most bytes, of equals the one that waits longest.
func (l *lane) longest() *queue {
	longest := l.waiting[0]
	for _, q := range l.waiting {
		if q.bytes > longest.bytes {
			longest = q
		}
	}
	return longest
}
