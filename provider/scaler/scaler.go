package scaler

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"module-controller/internal/refusals"
	"module-controller/provider/plan"
	"module-controller/provider/scaling"
)

// Deps are what a Scaler works with. All are needed.
type Deps struct {
	Client kubernetes.Interface
	VNodes VNodes
	// Leads says whether this replica is the one that works for a Deployment, by its
	// namespace/name and its environment, which may be empty. It returns at once.
	Leads    func(deployment, env string) bool
	Recorder record.EventRecorder
	Meter    Meter
	Log      *zap.Logger
}

// VNodes tells of the Nodes of bases and of the module pods on them. What it gives must not
// be changed.
type VNodes interface {
	// Known is closed once all that were there have been seen.
	Known() <-chan struct{}
	All() []*corev1.Node
	PodsOn(node string) []*corev1.Pod
	// Follow has changed called with each Node that comes, goes or is another: was or is is
	// nil for one that was or is not there. It must not block.
	Follow(changed func(was, is *corev1.Node)) error
}

// Meter counts. Its methods return at once and may be called from any goroutine.
type Meter interface {
	// PeersScaled counts a change of a Deployment's replicas, by direction: "up" or "down".
	PeersScaled(direction string)
	// Wrote counts one write to the API server; the object is "scale".
	Wrote(object string, err error)
}

// Scaler scales peer Deployments.
type Scaler struct {
	cfg      scaling.Config
	deps     Deps
	refused  *refusals.Log
	informer cache.SharedIndexInformer
	queue    workqueue.TypedRateLimitingInterface[string] // namespace/name; worked on by one worker at a time
	// nodes counts the changes of Nodes after which another number may fit.
	nodes atomic.Int64

	mu   sync.Mutex
	seen map[string]*seen // by key, of those that this replica leads for; mu guards it
}

// seen is what is known of a Deployment, for the worker that has its key.
type seen struct {
	damper scaling.Damper
	// count is of counted, kept how many of it count for a pod that they have.
	counted     counted
	count, kept int
}

// counted is what a count was made of.
type counted struct {
	nodes      int64
	generation int64
	env        string
	cluster    string
}

const (
	// workers is how many Deployments are worked on at a time.
	workers = 2
	// nodesEvery is how often changes of Nodes are looked at.
	nodesEvery = time.Second
	// lookEvery is how often each Deployment is looked at though nothing changes: by who
	// leads since, and for pods that have left a Node that takes none.
	lookEvery = 5 * time.Second
	// A scaling that failed is tried again after retryBase, doubled each time up to retryMax.
	retryBase, retryMax = 100 * time.Millisecond, 30 * time.Second
)

// New checks the configuration, completed with defaults, and makes a Scaler. It starts
// nothing.
func New(cfg scaling.Config, deps Deps) (*Scaler, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure scaler: %w", err)
	}
	s := &Scaler{
		cfg: cfg, deps: deps, refused: refusals.New(deps.Log), seen: map[string]*seen{},
		queue: workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](retryBase, retryMax)),
	}
	s.informer = s.deployments()
	err := errors.Join(s.watch(), deps.VNodes.Follow(s.nodeChanged))
	if err != nil {
		return nil, fmt.Errorf("make scaler: %w", err)
	}
	return s, nil
}

// Run scales until ctx ends, and returns when all that it started has ended. It is called
// once.
func (s *Scaler) Run(ctx context.Context) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	defer s.queue.ShutDown()
	wg.Go(func() { s.informer.RunWithContext(ctx) })
	select {
	case <-s.deps.VNodes.Known():
	case <-ctx.Done():
		return nil
	}
	if !cache.WaitForCacheSync(ctx.Done(), s.informer.HasSynced) {
		return nil
	}
	for range workers {
		wg.Go(func() { s.work(ctx) })
	}
	s.lookAround(ctx)
	return nil
}

// lookAround queues all Deployments when Nodes have changed, and from time to time.
func (s *Scaler) lookAround(ctx context.Context) {
	tick := time.NewTicker(nodesEvery)
	defer tick.Stop()
	nodes, at := s.nodes.Load(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			if is := s.nodes.Load(); is != nodes || now.Sub(at) >= lookEvery {
				nodes, at = is, now
				for _, key := range s.informer.GetStore().ListKeys() {
					s.queue.Add(key)
				}
			}
		}
	}
}

func (s *Scaler) work(ctx context.Context) {
	for {
		key, shutdown := s.queue.Get()
		if shutdown {
			return
		}
		s.workOn(ctx, key)
	}
}

func (s *Scaler) workOn(ctx context.Context, key string) {
	defer s.queue.Done(key)
	wait, err := s.sync(ctx, key)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		s.queue.AddRateLimited(key)
	default:
		s.queue.Forget(key)
		if wait > 0 {
			s.queue.AddAfter(key, wait)
		}
	}
}

// sync looks at a Deployment and scales it where that is due. It gives how soon to look
// again, though nothing changes; 0 where nothing is waited for. What failed was told.
func (s *Scaler) sync(ctx context.Context, key string) (wait time.Duration, err error) {
	d := s.get(key)
	if d == nil || scaling.LetAlone(d) || !s.deps.Leads(key, d.Labels[plan.LabelEnv]) {
		s.forget(key)
		return 0, nil
	}
	is := s.of(key)
	if err := s.count(is, d); err != nil {
		s.refused.Tell("cannot count the bases of a peer Deployment, its replicas stay as they are", "affinity", key, zap.Error(err))
		return 0, nil // until it is changed
	}
	do := is.damper.Look(replicasOf(d), is.count, s.cfg, time.Now())
	if !do.Scale {
		return do.Wait, nil
	}
	if err := s.scale(ctx, d, do.To); err != nil {
		return 0, err
	}
	is.damper.Scaled()
	return 0, nil
}

// count counts anew where what the count was made of has changed, or may have.
func (s *Scaler) count(is *seen, d *appsv1.Deployment) error {
	of := counted{s.nodes.Load(), d.Generation, d.Labels[plan.LabelEnv], d.Labels[plan.LabelCluster]}
	if is.counted == of && is.kept == 0 {
		return nil
	}
	has, err := s.podsOf(d)
	if err != nil {
		return err
	}
	n, kept, err := scaling.Count(d, s.deps.VNodes.All(), has)
	if err != nil {
		return err
	}
	is.counted, is.count, is.kept = of, n, kept
	return nil
}

// of gives what is known of a Deployment.
func (s *Scaler) of(key string) *seen {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[key] == nil {
		s.seen[key] = &seen{counted: counted{nodes: -1}}
	}
	return s.seen[key]
}

func (s *Scaler) forget(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.seen, key)
}
