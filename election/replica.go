package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/util/workqueue"

	"module-controller/shard"
	"module-controller/tunnel"
)

// Hooks are what a Replica tells and asks of others. All return at once but Evict.
// Changed is needed.
type Hooks struct {
	// Changed is called when the claim of a base was gained or lost, or when it is
	// about to be handed over.
	Changed func(tunnel.BaseID)
	// Evict has the broker end what an incarnation still has open there that is to be
	// killed, or that lost the broker. It is called before the kill and may take
	// half a second.
	Evict func(ctx context.Context, incarnation string) error
	// Wrote is told of each write to the API server.
	Wrote func(error)
	// Moved is told of each change of an ownership, by a word: claimed, transferred,
	// released, lost. Killed is told of each member that was killed.
	Moved  func(how string)
	Killed func()
}

// Replica is one life of a replica: it keeps its membership, watches the others,
// and claims, renews and hands over bases.
type Replica struct {
	cfg     Config
	hooks   Hooks
	log     *zap.Logger
	members coordinationclient.LeaseInterface // by a transport of its own
	bases   coordinationclient.LeaseInterface
	queue   workqueue.TypedRateLimitingInterface[string]
	poke    chan struct{} // the membership Lease should be written now
	drained chan struct{} // closed when nothing is held any more

	mu sync.Mutex
	// mu guards what follows
	state     *shard.State
	leases    map[string]*coordinationv1.Lease // bases', as seen last
	peers     map[string]*coordinationv1.Lease // members', as seen last
	ending    map[string]bool                  // members that are being ended
	self      member
	sent      time.Time     // when the last successful membership write was sent
	renewed   chan struct{} // closed at the next successful membership write
	synced    bool          // all Leases that were there are known
	announced bool          // the membership Lease has told once that bases may be given
	leaving   bool
}

// ErrReplaced is returned by Run when this incarnation lives no more: somebody
// else took it for dead, or its Lease was taken away. What it owned is others'.
// The process may go on as a new incarnation.
var ErrReplaced = errors.New("this incarnation was ended by somebody else")

// New makes a Replica; it starts nothing. Members is used for membership Leases
// alone and should have a connection of its own; bases should refuse to write
// while Valid says no.
func New(members, bases coordinationclient.LeasesGetter, cfg Config, hooks Hooks, log *zap.Logger) (*Replica, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure election: %w", err)
	}
	if hooks.Evict == nil {
		hooks.Evict = func(context.Context, string) error { return nil }
	}
	if hooks.Wrote == nil {
		hooks.Wrote = func(error) {}
	}
	if hooks.Moved == nil {
		hooks.Moved = func(string) {}
	}
	if hooks.Killed == nil {
		hooks.Killed = func() {}
	}
	return &Replica{
		cfg: cfg, hooks: hooks, log: log, members: members.Leases(cfg.Namespace), bases: bases.Leases(cfg.BaseNamespace),
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 5*time.Second)),
		poke: make(chan struct{}, 1), drained: make(chan struct{}),
		state:  shard.NewState(cfg.Incarnation, cfg.Timing),
		leases: map[string]*coordinationv1.Lease{}, peers: map[string]*coordinationv1.Lease{}, ending: map[string]bool{}, renewed: make(chan struct{}),
	}, nil
}

// Run joins, serves until ctx ends, hands every base over, leaves, and returns
// when all that it started has ended; nil then. It returns ErrReplaced when this
// incarnation was ended by others.
func (r *Replica) Run(ctx context.Context) error {
	life, end := context.WithCancel(context.WithoutCancel(ctx))
	var wg sync.WaitGroup
	defer wg.Wait()
	defer r.queue.ShutDown()
	defer end()

	if err := r.join(ctx); err != nil {
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
	synced, err := r.watch(life, &wg)
	if err != nil {
		return err
	}
	keeping, stop := context.WithCancel(life)
	defer stop()
	replaced := make(chan error, 1)
	wg.Go(func() { replaced <- r.keep(keeping) })
	wg.Go(func() {
		if synced(life) {
			r.serve(life, &wg)
		}
	})
	select {
	case err := <-replaced:
		return err
	case <-ctx.Done():
	}
	if done, err := r.drain(replaced); !done {
		return err
	}
	stop()
	if err := <-replaced; err != nil {
		return err
	}
	return r.leave(life)
}

// serve starts those who work on bases and judge members.
func (r *Replica) serve(ctx context.Context, wg *sync.WaitGroup) {
	r.mu.Lock()
	r.synced = true
	r.mu.Unlock()
	r.writeNow()
	for range r.cfg.Workers {
		wg.Go(func() {
			for r.work(ctx) {
			}
		})
	}
	wg.Go(func() { r.judge(ctx) })
	r.lookAtAll()
}

// drain hands every base over, and says whether nothing is held any more.
func (r *Replica) drain(replaced <-chan error) (done bool, err error) {
	began := time.Now()
	r.mu.Lock()
	r.leaving, r.self.state = true, draining
	r.state.Drain(began)
	held := r.state.Count(began).Held
	r.mu.Unlock()
	r.log.Info("draining", zap.Int("bases", held))
	r.writeNow()
	r.lookAtAll()
	r.noteDrained()
	patience := time.NewTimer(r.cfg.Drain)
	defer patience.Stop()
	select {
	case err := <-replaced:
		return false, err
	case <-r.drained:
		r.log.Info("drained", zap.Int("bases", held), zap.Duration("took", time.Since(began)))
		return true, nil
	case <-patience.C:
		r.mu.Lock()
		left := r.state.Count(time.Now()).Held
		r.mu.Unlock()
		// Our name stays, so that nobody acts before our time is over.
		r.log.Warn("not all bases were handed over in time; others take them when this member is forgotten", zap.Int("bases", left))
		return false, nil
	}
}

// noteDrained closes drained once a draining replica holds nothing.
func (r *Replica) noteDrained() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.leaving {
		return
	}
	if r.state.HoldsAny() {
		return
	}
	select {
	case <-r.drained:
	default:
		close(r.drained)
	}
}

// lookAtAll has every base looked at, those renewed longest ago first.
func (r *Replica) lookAtAll() {
	r.mu.Lock()
	keys := r.state.Bases()
	r.mu.Unlock()
	r.look(keys)
}

// lookAtShifted has the bases looked at that should be another's than when they were
// looked at last.
func (r *Replica) lookAtShifted() {
	r.mu.Lock()
	keys := r.state.Shifted(time.Now())
	r.mu.Unlock()
	r.look(keys)
}

func (r *Replica) look(keys []string) {
	for _, key := range keys {
		r.queue.Add(key)
	}
}
