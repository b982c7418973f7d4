package election

import (
	"sync/atomic"

	"k8s.io/client-go/util/workqueue"
)

// lanes are the bases that wait for a worker, in order. Those that are new come after all
// others: a renewal that is due would wait for thousands of them else, and what is claimed
// before the renewals of what was claimed have their turn is more than can be renewed. The
// work queue calls it under a lock of its own.
type lanes struct {
	isNew        func(key string) bool
	known, young workqueue.Queue[string]
	// waits has those in young. One that is there and not here is in known since.
	waits map[string]struct{}

	many    atomic.Int64 // how many are in waits
	crowded bool         // there were too many when that was asked last; by one goroutine
}

func newLanes(isNew func(key string) bool) *lanes {
	return &lanes{isNew: isNew, known: workqueue.DefaultQueue[string](), young: workqueue.DefaultQueue[string](), waits: map[string]struct{}{}}
}

// Push implements workqueue.Queue.
func (l *lanes) Push(key string) {
	if l.isNew(key) {
		l.young.Push(key)
		l.waits[key] = struct{}{}
		l.many.Add(1)
		return
	}
	l.known.Push(key)
}

// Touch implements workqueue.Queue: a base that is new no more waits with those that are known.
func (l *lanes) Touch(key string) {
	if _, waits := l.waits[key]; waits && !l.isNew(key) {
		l.leave(key)
		l.known.Push(key)
	}
}

// Len implements workqueue.Queue.
func (l *lanes) Len() int { return l.known.Len() + len(l.waits) }

// Pop implements workqueue.Queue.
func (l *lanes) Pop() string {
	if l.known.Len() > 0 {
		return l.known.Pop()
	}
	for {
		key := l.young.Pop()
		if _, waits := l.waits[key]; waits {
			l.leave(key)
			return key
		}
	}
}

func (l *lanes) leave(key string) {
	delete(l.waits, key)
	l.many.Add(-1)
}

// crowds says whether more new bases than so many wait, now and when it was asked last. It is
// asked by one goroutine.
func (l *lanes) crowds(most int) bool {
	was := l.crowded
	l.crowded = l.many.Load() > int64(most)
	return was && l.crowded
}
