package election

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/util/workqueue"

	"module-controller/shard"
	"module-controller/tunnel"
)

// Solo owns every base that it is asked about.
type Solo struct {
	cfg     Config
	leases  coordinationclient.LeaseInterface
	log     *zap.Logger
	changed func(tunnel.BaseID)
	wrote   func(error)
	queue   workqueue.TypedRateLimitingInterface[tunnel.BaseID]

	mu sync.Mutex
	// mu guards what follows
	entries map[tunnel.BaseID]*entry
}

// entry is one base's Lease. Only the worker that holds the base's key in the
// queue changes it, but for retired.
type entry struct {
	name    string
	lease   *coordinationv1.Lease // as written or read last; nil when unknown
	held    bool
	retired bool
	// observed is when the Lease was first seen as it is, by our own clock; zero
	// while it is ours.
	observed time.Time
}

// NewSolo makes a Solo; it starts nothing. Changed is called when a claim was
// gained or lost, wrote after each write to the API server; both must return at
// once.
func NewSolo(client kubernetes.Interface, cfg Config, log *zap.Logger, changed func(tunnel.BaseID), wrote func(error)) (*Solo, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure election: %w", err)
	}
	return &Solo{
		cfg: cfg, leases: client.CoordinationV1().Leases(cfg.Namespace), log: log, changed: changed, wrote: wrote,
		queue: workqueue.NewTypedRateLimitingQueue(
			workqueue.NewTypedItemExponentialFailureRateLimiter[tunnel.BaseID](100*time.Millisecond, 5*time.Second)),
		entries: map[tunnel.BaseID]*entry{},
	}, nil
}

// Claim says whether this replica owns a base. Asking is wishing: a base that was
// not asked about before is claimed soon, and changed is called then.
func (s *Solo) Claim(id tunnel.BaseID) (shard.Claim, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	e := s.entries[id]
	if e == nil {
		name, err := s.cfg.Name(id)
		if err != nil {
			return shard.Claim{}, false
		}
		s.entries[id] = &entry{name: name}
		s.queue.Add(id)
		return shard.Claim{}, false
	}
	if !e.held || e.retired {
		return shard.Claim{}, false
	}
	return shard.Claim{Holder: s.cfg.Holder, Epoch: deref(e.lease.Spec.LeaseTransitions)}, true
}

// Retire gives up a base that is no more: its Lease is deleted. It returns at
// once. A claim that is wished for after that begins anew.
func (s *Solo) Retire(id tunnel.BaseID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.entries[id]; e != nil {
		e.retired = true
		s.queue.Add(id)
	}
}

// Run claims and renews until ctx ends. The Leases stay as they are: the next life
// of this pod takes them over at once.
func (s *Solo) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	for range s.cfg.Workers {
		wg.Go(func() {
			for s.work(ctx) {
			}
		})
	}
	<-ctx.Done()
	s.queue.ShutDown()
	wg.Wait()
	return nil
}

func (s *Solo) work(ctx context.Context) bool {
	id, shutdown := s.queue.Get()
	if shutdown {
		return false
	}
	defer s.queue.Done(id)
	next, err := s.step(ctx, id)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.log.Warn("lease not written", zap.Stringer("base", id), zap.Error(err))
		s.queue.AddRateLimited(id)
	default:
		s.queue.Forget(id)
		if next > 0 {
			s.queue.AddAfter(id, next)
		}
	}
	return true
}

// step does what a base's Lease needs now, and returns how long until it needs
// something again; 0 means never.
func (s *Solo) step(ctx context.Context, id tunnel.BaseID) (time.Duration, error) {
	s.mu.Lock()
	known := s.entries[id]
	if known == nil {
		s.mu.Unlock()
		return 0, nil
	}
	e := *known
	s.mu.Unlock()
	switch {
	case e.retired:
		return 0, s.delete(ctx, id, e)
	case e.lease == nil:
		return s.create(ctx, id, e)
	case e.held:
		return s.renew(ctx, id, e)
	}
	return s.take(ctx, id, e)
}

// renewIn spreads renewals, so that bases claimed at once are not renewed at once
// for ever.
func (s *Solo) renewIn() time.Duration { return wait.Jitter(s.cfg.Renew*4/5, 0.25) }

func (s *Solo) create(ctx context.Context, id tunnel.BaseID, e entry) (time.Duration, error) {
	empty := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: e.name, Namespace: s.cfg.Namespace}}
	lease, err := s.leases.Create(ctx, claimed(empty, id, s.cfg, time.Now()), metav1.CreateOptions{})
	s.wrote(err)
	if apierrors.IsAlreadyExists(err) {
		return s.look(ctx, id, e)
	}
	if err != nil {
		return 0, fmt.Errorf("create lease %s: %w", e.name, err)
	}
	s.hold(id, lease)
	return s.renewIn(), nil
}

func (s *Solo) renew(ctx context.Context, id tunnel.BaseID, e entry) (time.Duration, error) {
	lease, err := s.leases.Update(ctx, renewed(e.lease, s.cfg, time.Now()), metav1.UpdateOptions{})
	s.wrote(err)
	switch {
	case apierrors.IsNotFound(err):
		return s.create(ctx, id, e) // deleted by hand; if somebody made a new one, create meets it
	case apierrors.IsConflict(err):
		return s.look(ctx, id, e)
	case err != nil:
		return 0, fmt.Errorf("renew lease %s: %w", e.name, err)
	}
	s.hold(id, lease)
	return s.renewIn(), nil
}

// take claims a Lease that is free, or a foreign one that stayed unchanged for
// long enough.
func (s *Solo) take(ctx context.Context, id tunnel.BaseID, e entry) (time.Duration, error) {
	if judge(e.lease, s.cfg.Holder) == foreign {
		if left := takeAfter(e.lease, s.cfg) - time.Since(e.observed); left > 0 {
			return min(left, s.cfg.ForeignGrace+time.Second), s.watch(ctx, id, e)
		}
	}
	lease, err := s.leases.Update(ctx, claimed(e.lease, id, s.cfg, time.Now()), metav1.UpdateOptions{})
	s.wrote(err)
	switch {
	case apierrors.IsNotFound(err):
		return s.create(ctx, id, e)
	case apierrors.IsConflict(err):
		return s.look(ctx, id, e)
	case err != nil:
		return 0, fmt.Errorf("claim lease %s: %w", e.name, err)
	}
	s.hold(id, lease)
	return s.renewIn(), nil
}

// look reads a Lease that is not as it was thought to be, and has it claimed if it
// may be.
func (s *Solo) look(ctx context.Context, id tunnel.BaseID, e entry) (time.Duration, error) {
	lease, err := s.leases.Get(ctx, e.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.lose(id, nil)
		return time.Millisecond, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read lease %s: %w", e.name, err)
	}
	if e.held && judge(lease, s.cfg.Holder) == ours {
		s.hold(id, lease) // somebody edited it, but not its holder
		return time.Millisecond, nil
	}
	s.lose(id, lease)
	return time.Millisecond, nil
}

// watch reads a foreign holder's Lease, to see whether it is renewed.
func (s *Solo) watch(ctx context.Context, id tunnel.BaseID, e entry) error {
	lease, err := s.leases.Get(ctx, e.name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		s.lose(id, nil)
		return nil
	}
	if err != nil {
		return fmt.Errorf("read lease %s: %w", e.name, err)
	}
	if lease.ResourceVersion != e.lease.ResourceVersion {
		s.lose(id, lease)
	}
	return nil
}

func (s *Solo) delete(ctx context.Context, id tunnel.BaseID, e entry) error {
	if e.lease != nil && e.held {
		err := s.leases.Delete(ctx, e.name, *metav1.NewPreconditionDeleteOptions(string(e.lease.UID)))
		s.wrote(err)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete lease %s: %w", e.name, err)
		}
	}
	s.mu.Lock()
	delete(s.entries, id)
	s.mu.Unlock()
	s.changed(id)
	return nil
}

// hold records the Lease as written by us.
func (s *Solo) hold(id tunnel.BaseID, lease *coordinationv1.Lease) {
	lease.ManagedFields = nil
	s.mu.Lock()
	e := s.entries[id]
	gained := !e.held
	e.lease, e.held, e.observed = lease, true, time.Time{}
	s.mu.Unlock()
	if gained {
		s.log.Info("base claimed", zap.Stringer("base", id), zap.Int32("epoch", deref(lease.Spec.LeaseTransitions)))
		s.changed(id)
	}
}

// lose records a Lease that is not ours, nil for none.
func (s *Solo) lose(id tunnel.BaseID, lease *coordinationv1.Lease) {
	s.mu.Lock()
	e := s.entries[id]
	lost := e.held
	e.lease, e.held, e.observed = lease, false, time.Now()
	s.mu.Unlock()
	if lost {
		s.log.Warn("base lost", zap.Stringer("base", id), zap.String("holder", holderOf(lease)))
		s.changed(id)
	}
}

func holderOf(lease *coordinationv1.Lease) string {
	if lease == nil {
		return ""
	}
	return deref(lease.Spec.HolderIdentity)
}
