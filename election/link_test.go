package election

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/watch"
)

// link is one replica's way to the store: slow, cut, unanswered, or losing answers.
type link struct {
	store   *store
	process *stopped
	// valid is asked before a write leaves, as the transport does; nil for the
	// membership's own.
	valid func() bool

	mu sync.Mutex
	// mu guards what follows
	rng       *rand.Rand
	cut       bool
	refuse    error         // what every request is answered by; nil for what it asks for
	stuck     float64       // the share of requests that are never answered
	asked     int           // how many requests there were
	mute      bool          // requests are never answered, whatever their sender waits for
	latency   time.Duration // a request takes up to that, each way
	least     time.Duration // and at least that
	lag       time.Duration // a watch event takes up to that
	behind    time.Duration // the API server that it leads to is behind by that, but for reads of etcd
	gap       bool          // what happens now no watch shows, ever
	lose      float64       // the share of answers that are lost
	hidden    string        // the Lease, by namespace/name, whose changes are not shown
	still     bool          // watches of bases show nothing
	compacted int           // from what is older nothing can be watched
	watchers  []*watcher
	silent    map[string]time.Time // when a read showed a Lease of who may be ended

	shown atomic.Int64 // how many events there were
	items atomic.Int64 // how many Leases were in lists
}

func newLink(s *store, process *stopped, seed1, seed2 uint64) *link {
	return &link{store: s, process: process, rng: rand.New(rand.NewPCG(seed1, seed2)), latency: usualLatency, lag: usualLag,
		silent: map[string]time.Time{}}
}

const (
	usualLatency = 5 * time.Millisecond
	usualLag     = 10 * time.Millisecond
)

func (l *link) set(change func(*link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.mute
	change(l)
	switch {
	case l.cut:
		l.endWatches()
	case l.mute && !was: // it is noticed in a while that the connection leads nowhere
		time.AfterFunc(requestTimeout, func() { l.set((*link).endWatches) })
	}
}

// endWatches ends the watches; the caller holds mu.
func (l *link) endWatches() {
	for _, w := range l.watchers {
		w.stop()
	}
	l.watchers = nil
}

// show has the watches show everything again, from a new list on.
func (l *link) show() {
	version := l.store.compact()
	l.set(func(l *link) {
		l.hidden, l.compacted = "", version
		l.endWatches()
	})
}

// looked notes that a read arrived, and whether the Lease was of somebody who had
// renewed nothing for a while or had no broker.
func (l *link) looked(key string, lease *coordinationv1.Lease, written time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.silent, key)
	if time.Since(written) > 2*time.Second || lease.Annotations[noteLinks] != linksUp {
		l.silent[key] = time.Now()
	}
}

// behindBy is by how much the API server is behind.
func (l *link) behindBy() time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.behind
}

// listed counts the Leases of a list.
func (l *link) listed(n int) { l.items.Add(int64(n)) }

func (l *link) roll(most time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.rng.Int64N(int64(most) + 1))
}

func (l *link) chance(share float64) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.rng.Float64() < share
}

var errLost = errors.New("the answer was lost")

// requestTimeout ends requests that nobody else bounds.
const requestTimeout = 10 * time.Second

// request does something at the store and brings the answer back, or loses it.
func (l *link) request(ctx context.Context, write bool, do func(s *store) (*coordinationv1.Lease, error)) (*coordinationv1.Lease, error) {
	l.process.wait()
	if write && l.valid != nil && !l.valid() {
		return nil, errors.New("shut")
	}
	arrive := func() (*coordinationv1.Lease, error) {
		l.store.mu.Lock()
		defer l.store.mu.Unlock()
		return do(l.store)
	}
	if err := l.there(ctx, write, func() { _, _ = arrive() }); err != nil {
		return nil, err
	}
	lease, err := l.admit(arrive)
	if backErr := l.back(ctx, write); backErr != nil {
		return nil, backErr
	}
	return lease, err
}

// admit does what is asked for, unless all is refused.
func (l *link) admit(do func() (*coordinationv1.Lease, error)) (*coordinationv1.Lease, error) {
	l.mu.Lock()
	refuse := l.refuse
	l.mu.Unlock()
	if refuse != nil {
		return nil, refuse
	}
	return do()
}

// there takes a request to the store. One that its sender waits for no longer may
// arrive all the same; late is called then.
func (l *link) there(ctx context.Context, write bool, late func()) error {
	l.mu.Lock()
	cut, mute, latency, least := l.cut, l.mute || l.rng.Float64() < l.stuck, l.latency, l.least
	l.asked++
	l.mu.Unlock()
	if cut {
		pause(ctx, requestTimeout)
		return context.DeadlineExceeded
	}
	takes := least + l.roll(latency-least)
	if !mute && pause(ctx, takes) {
		return nil
	}
	if write && l.chance(0.5) {
		time.AfterFunc(takes, late)
	}
	<-ctx.Done()
	return ctx.Err()
}

// back brings an answer back.
func (l *link) back(ctx context.Context, write bool) error {
	l.mu.Lock()
	cut, mute, lost, takes := l.cut, l.mute, write && l.rng.Float64() < l.lose, l.latency
	least := l.least
	l.mu.Unlock()
	switch {
	case lost:
		pause(ctx, requestTimeout)
		return errLost
	case cut || mute:
		pause(ctx, requestTimeout)
		return context.DeadlineExceeded
	case !pause(ctx, least+l.roll(takes-least)):
		return ctx.Err()
	}
	l.process.wait()
	if ctx.Err() != nil && l.chance(0.5) { // its sender may have slept through the deadline
		return ctx.Err()
	}
	return nil
}

// watch begins a watch.
func (l *link) watch(ctx context.Context, version int, w *watcher) (watch.Interface, error) {
	l.process.wait()
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := l.there(limited, false, nil); err != nil {
		return nil, err
	}
	s := l.store
	s.mu.Lock()
	defer s.mu.Unlock()
	l.mu.Lock()
	defer l.mu.Unlock()
	if s.version > version+maxHistory || version < l.compacted {
		return nil, apierrors.NewResourceExpired("too old")
	}
	var life context.Context
	life, w.stop = context.WithCancel(ctx)
	w.link, w.out, w.wake = l, make(chan watch.Event), make(chan struct{}, 1)
	s.since(version, w)
	s.watchers[w] = true
	context.AfterFunc(life, func() {
		s.mu.Lock()
		delete(s.watchers, w)
		s.mu.Unlock()
	})
	l.watchers = append(l.watchers, w)
	go w.run(life)
	return w, nil
}
