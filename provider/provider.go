package provider

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// Owner says whether this replica may act for a base. All return at once.
type Owner interface {
	// Claim: ok is false while the claim is not held, and asking is how the claim is
	// wished for. The owner calls Provider.Changed when it gains or loses one, or is
	// about to hand it over.
	Claim(tunnel.BaseID) (c shard.Claim, ok bool)
	// Held says whether the base is this replica's, also while it may not act because
	// the API server is away; asking wishes for nothing.
	Held(tunnel.BaseID) bool
	// Drained says that nothing is in flight on a base whose claim is Draining.
	Drained(tunnel.BaseID)
}

// Deps are what the provider works with. All but Retired and Meter are needed.
type Deps struct {
	Client kubernetes.Interface
	Owner  Owner
	// Tunnels are the transports, in the order in which they are preferred for a
	// base that is heard through several.
	Tunnels  []tunnel.Tunnel
	Recorder record.EventRecorder
	Meter    Meter
	Log      *zap.Logger
	// Envs are the environments whose Nodes are this program's.
	Envs []string
	// Retired is told of each base whose Node was deleted because the base is no
	// more. It returns at once. Default: nobody is told.
	Retired func(tunnel.BaseID)
}

// Provider makes bases Nodes and modules Pods. It is a tunnel.Sink.
type Provider struct {
	cfg     Config
	deps    Deps
	log     *zap.Logger
	meter   Meter
	tunnels map[string]tunnel.Tunnel
	envs    map[string]bool

	bases *registry
	queue workqueue.TypedRateLimitingInterface[tunnel.BaseID]
	nodes *nodeCache
	pods  *podStore
	shown *facade
	fence *fence

	// What is remembered of what is no more, bounded by Config.Remembered.
	failures  *lru.Cache[failureKey, plan.Failure]
	installed *lru.Cache[tunnel.BaseID, map[tunnel.ModuleKey]bool]
	refused   *lru.Cache[tunnel.BaseID, struct{}]
	unheard   *lru.Cache[tunnel.BaseID, time.Time] // claimed, without a Node, and since when

	ready chan struct{}
}

type failureKey struct {
	base   tunnel.BaseID
	module tunnel.ModuleKey
}

// New checks the configuration, completed with defaults, and makes a Provider. It
// starts nothing.
func New(cfg Config, deps Deps) (*Provider, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure provider: %w", err)
	}
	if deps.Client == nil || deps.Owner == nil || deps.Recorder == nil || deps.Log == nil || len(deps.Tunnels) == 0 {
		return nil, errors.New("make provider: a client, an owner, a recorder, a logger and at least one tunnel are needed")
	}
	p := &Provider{
		cfg: cfg, deps: deps, log: deps.Log, meter: deps.Meter,
		tunnels: map[string]tunnel.Tunnel{}, envs: map[string]bool{},
		bases: newRegistry(), ready: make(chan struct{}),
	}
	if p.meter == nil {
		p.meter = NoMeter
	}
	if p.deps.Retired == nil {
		p.deps.Retired = func(tunnel.BaseID) {}
	}
	for _, t := range deps.Tunnels {
		p.tunnels[t.Name()] = t
	}
	var errs []error
	for _, env := range deps.Envs {
		errs = append(errs, plan.CheckEnv(env))
		p.envs[env] = true
	}
	p.queue = workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[tunnel.BaseID](
		retryFirst, retryMax))
	p.nodes = newNodeCache(deps.Client)
	p.shown = newFacade(newPodInformer(deps.Client), p.nodes.address)
	p.pods, p.fence = newPodStore(p), newFence()
	var err error
	p.failures, err = lru.New[failureKey, plan.Failure](cfg.Remembered)
	errs = append(errs, err)
	p.installed, err = lru.New[tunnel.BaseID, map[tunnel.ModuleKey]bool](cfg.Remembered)
	errs = append(errs, err)
	p.refused, err = lru.New[tunnel.BaseID, struct{}](cfg.Remembered)
	errs = append(errs, err)
	p.unheard, err = lru.New[tunnel.BaseID, time.Time](cfg.Remembered)
	errs = append(errs, err)
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("make provider: %w", err)
	}
	return p, nil
}

const (
	// A base whose work failed is worked on again after retryFirst, doubled each
	// time up to retryMax.
	retryFirst = 50 * time.Millisecond
	retryMax   = 30 * time.Second
)

// Run serves until ctx ends, and returns when all that it started has ended.
func (p *Provider) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	defer p.queue.ShutDown()

	if err := p.watchNodes(); err != nil {
		return err
	}
	wg.Go(func() { p.nodes.informer.RunWithContext(ctx) })
	wg.Go(func() { p.shown.informer.RunWithContext(ctx) })
	if !cache.WaitForCacheSync(ctx.Done(), p.nodes.informer.HasSynced, p.shown.informer.HasSynced) {
		return ctx.Err()
	}
	p.adopt()
	close(p.ready)

	controller, err := p.newPodController()
	if err != nil {
		return err
	}
	failed := make(chan error, 1)
	wg.Go(func() {
		if err := controller.Run(ctx, p.cfg.Workers); err != nil {
			failed <- fmt.Errorf("run pod controller: %w", err)
		}
	})
	wg.Go(func() { p.fence.run(ctx, p.deps.Client, p.log) })
	for range p.cfg.Workers {
		wg.Go(func() { p.work(ctx) })
	}
	select {
	case <-ctx.Done():
		return nil
	case err := <-failed:
		if ctx.Err() != nil {
			return nil
		}
		return err
	}
}

// Ready is closed once the caches are synced and the Nodes that are there were
// adopted.
func (p *Provider) Ready() <-chan struct{} { return p.ready }

// HasNode says whether a base has a Node.
func (p *Provider) HasNode(id tunnel.BaseID) bool {
	name, err := plan.NodeName(id)
	return err == nil && p.nodes.get(name) != nil
}

// LeaseLabels gives the labels by which a base's Lease is to be found.
func (p *Provider) LeaseLabels(id tunnel.BaseID) map[string]string {
	if b := p.bases.get(id); b != nil {
		return plan.LeaseLabels(b.first)
	}
	return nil
}

// Changed is to be called when a claim was gained or lost or is about to be handed
// over. It returns at once.
func (p *Provider) Changed(id tunnel.BaseID) { p.queue.Add(id) }

// adopt makes records of the bases whose Nodes exist, so that they are polled
// even if their heartbeats stopped for good.
func (p *Provider) adopt() {
	for _, obj := range p.nodes.informer.GetStore().List() {
		node := obj.(*corev1.Node)
		beat, installed, err := plan.Adopt(node)
		if err != nil || !p.envs[beat.Base.Env] || p.tunnels[beat.Tunnel] == nil {
			p.log.Debug("node left alone", zap.String("node", node.Name), zap.Error(err))
			continue
		}
		b := p.bases.add(beat.Base, func() *base {
			b := newBase(beat.Base, node.Name, beat, installed)
			b.notReady = plan.NotReadyOf(node)
			return b
		})
		p.queue.Add(b.id)
	}
	p.log.Info("nodes adopted", zap.Int("count", len(p.bases.all())))
}

func (p *Provider) work(ctx context.Context) {
	for {
		id, shutdown := p.queue.Get()
		if shutdown {
			return
		}
		p.workOn(ctx, id)
	}
}

func (p *Provider) workOn(ctx context.Context, id tunnel.BaseID) {
	defer p.queue.Done(id)
	start := time.Now()
	next, err := p.sync(ctx, id)
	p.meter.Synced(time.Since(start), err != nil)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		p.log.Warn("base not synced", zap.Stringer("base", id), zap.Error(err))
		p.queue.AddRateLimited(id)
	default:
		p.queue.Forget(id)
		if next > 0 {
			p.queue.AddAfter(id, next)
		}
	}
}

// Census counts the bases as they are now.
func (p *Provider) Census() Census {
	c := Census{Queued: p.queue.Len()}
	for _, b := range p.bases.all() {
		s := b.lastSummary()
		switch {
		case !s.owned:
			continue
		case s.ready:
			c.Ready++
		default:
			c.NotReady++
		}
		c.Modules += s.modules
		c.Strangers += s.strangers
	}
	return c
}
