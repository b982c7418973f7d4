package election

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/util/workqueue"

	"module-controller/shard"
	"module-controller/tunnel"
)

// Replica is one session of a replica: it keeps its membership, watches the others,
// and claims, renews and hands over bases.
type Replica struct {
	cfg     Config
	meter   Meter
	log     *zap.Logger
	lanes   *lanes // of queue
	queue   workqueue.TypedRateLimitingInterface[string]
	poke    chan struct{} // the membership Lease should be written now
	wait    chan struct{} // a base waits for its turn to be handed over
	ends    chan struct{} // there is more in over
	drained chan struct{} // closed when nothing is owned any more

	// Run sets what follows before it starts anything.
	memberClient coordinationclient.LeaseInterface
	baseClient   coordinationclient.LeaseInterface
	hooks        Hooks
	memberFeed   *feed
	ownFeed      *feed   // of bases whose owner this replica is
	baseFeeds    []*feed // ownFeed, and those of what all are shown
	brake        brake
	pulse        pulse
	moves        moveLog

	mu sync.Mutex
	// mu guards what follows
	state     *shard.State
	nodes     Nodes           // nil before Run
	bases     leases          // of bases
	members   leases          // of members
	stepping  map[string]bool // members that a step is performed for
	self      announcement
	sent      time.Time     // when the last successful membership write was sent
	renewed   chan struct{} // closed at the next successful membership write
	over      []ended       // sessions whose bases are to be listed
	synced    bool          // all Leases that were there are known
	announced bool          // the membership Lease has told once that this member can own bases
	draining  bool
	// unanswered is how many requests for membership Leases were not answered in time, one
	// after the other.
	unanswered int
	// workers is how many write Leases of bases, wanted how many should.
	workers, wanted int
	patience        patience
}

// ErrReplaced is returned by Run when this session was ended: somebody else took it for
// dead, or its Lease was taken away. What it owned is others'. The process may go on as
// a new incarnation.
var ErrReplaced = errors.New("this session was ended by somebody else")

// New makes a Replica; it starts nothing. Meter and log are used from Run on.
func New(cfg Config, meter Meter, log *zap.Logger) (*Replica, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure election: %w", err)
	}
	r := &Replica{
		cfg: cfg, meter: meter, log: log,
		poke: make(chan struct{}, 1), wait: make(chan struct{}, 1), ends: make(chan struct{}, 1), drained: make(chan struct{}), renewed: make(chan struct{}),
		state: shard.NewState(cfg.identity(), cfg.Timing),
		bases: leases{}, members: leases{}, stepping: map[string]bool{},
	}
	r.lanes = newLanes(r.isNew)
	r.queue = workqueue.NewTypedRateLimitingQueueWithConfig(
		workqueue.NewTypedItemExponentialFailureRateLimiter[string](50*time.Millisecond, 5*time.Second),
		workqueue.TypedRateLimitingQueueConfig[string]{DelayingQueue: workqueue.NewTypedDelayingQueueWithConfig(
			workqueue.TypedDelayingQueueConfig[string]{Queue: workqueue.NewTypedWithConfig(
				workqueue.TypedQueueConfig[string]{Name: "leases", Queue: r.lanes})})})
	return r, nil
}

// isNew says whether a base has neither a Lease nor a Node. The queue asks with its lock held,
// so nobody queues a base who holds mu.
func (r *Replica) isNew(key string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.IsNew(key)
}

// Run joins, serves until ctx ends, hands every base over, leaves, and returns
// when all that it started has ended; nil then. It returns ErrReplaced when this
// session was ended by others. It may be called once.
func (r *Replica) Run(ctx context.Context, deps Deps) error {
	r.memberClient, r.baseClient = deps.Members.Leases(r.cfg.Namespace), deps.Bases.Leases(r.cfg.BaseNamespace)
	r.hooks = deps.Hooks
	r.mu.Lock()
	r.nodes = deps.Nodes
	r.mu.Unlock()
	r.tellRenewals()
	session, end := context.WithCancel(context.WithoutCancel(ctx))
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
	synced, err := r.watch(session, &wg)
	if err != nil {
		return err
	}
	keeping, stop := context.WithCancel(session)
	defer stop()
	replaced := make(chan error, 1)
	wg.Go(func() { replaced <- r.keep(keeping) })
	wg.Go(func() {
		if synced(session) && r.listAll(session) {
			r.serve(session, &wg)
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
	return r.leave(session)
}

// serve starts those who work on bases and detect failures.
func (r *Replica) serve(ctx context.Context, wg *sync.WaitGroup) {
	r.mu.Lock()
	r.synced = true
	r.mu.Unlock()
	r.writeNow()
	wg.Go(func() { r.employ(ctx) })
	wg.Go(func() { r.detectFailures(ctx) })
	wg.Go(func() { r.callTurns(ctx) })
	wg.Go(func() { r.lookAtFeeds(ctx) })
	wg.Go(func() { r.listEnded(ctx) })
	wg.Go(func() { r.sweep(ctx) })
	r.reconcileAll()
}

// drain hands every base over, and says whether nothing is owned any more.
func (r *Replica) drain(replaced <-chan error) (done bool, err error) {
	began := time.Now()
	r.mu.Lock()
	r.draining, r.self.state = true, memberDraining
	r.state.Drain(began, began.Add(r.cfg.Drain))
	owned := r.state.Count(began).Owned
	r.mu.Unlock()
	r.log.Info("draining", zap.Int("bases", owned))
	r.tellOrphans()
	r.writeNow()
	r.reconcileAll()
	r.noteDrained()
	again := time.AfterFunc(shard.LeavingApart, r.writeNow) // who leaves together with us has said so by then
	defer again.Stop()
	timeout := time.NewTimer(r.cfg.Drain)
	defer timeout.Stop()
	select {
	case err := <-replaced:
		return false, err
	case <-r.drained:
		r.log.Info("drained", zap.Int("bases", owned), zap.Duration("took", time.Since(began)))
		return true, nil
	case <-timeout.C:
		r.mu.Lock()
		left := r.state.Count(time.Now()).Owned
		r.mu.Unlock()
		// Our name stays in the membership Lease, so that nobody acts before our deadline.
		r.log.Warn("drain timed out; remaining bases move once this member expires", zap.Int("bases", left))
		return false, nil
	}
}

// noteDrained closes drained once a draining replica owns nothing.
func (r *Replica) noteDrained() {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case !r.draining, r.state.OwnsAny():
		return
	}
	select {
	case <-r.drained:
	default:
		close(r.drained)
	}
}

// reconcileAll has every base reconciled, those renewed longest ago first.
func (r *Replica) reconcileAll() {
	r.mu.Lock()
	keys := r.state.Bases()
	r.mu.Unlock()
	r.reconcile(keys)
}

// reconcileShifted has the bases reconciled that are assigned to another member than
// at their last turn.
func (r *Replica) reconcileShifted() {
	r.mu.Lock()
	keys := r.state.Shifted(time.Now())
	r.mu.Unlock()
	r.reconcile(keys)
}

func (r *Replica) reconcile(keys []string) {
	for _, key := range keys {
		r.queue.Add(key)
	}
}

// hasNode says whether a base has a Node. Before Run nobody can know; a base that may
// have one is claimed later, never too soon.
func (r *Replica) hasNode(id tunnel.BaseID) bool {
	r.mu.Lock()
	nodes := r.nodes
	r.mu.Unlock()
	return nodes == nil || nodes.HasNode(id)
}
