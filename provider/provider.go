package provider

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"

	"module-controller/internal/refusals"
	"module-controller/provider/plan"
	"module-controller/provider/pods"
	"module-controller/provider/probes"
	"module-controller/provider/revisions"
	"module-controller/provider/traces"
	"module-controller/shard"
	"module-controller/tunnel"
)

// Owner says whether this replica may act for a base. All return at once.
type Owner interface {
	// Claim gives the claim of a base; ok is false while it is not valid. Calling it
	// registers interest: the base is claimed once it is assigned to this replica. The
	// owner calls Provider.Changed when a claim is gained, lost, or changes its phase.
	Claim(tunnel.BaseID) (c shard.Claim, ok bool)
	// Held says whether the base's Lease names this replica, also while the claim is not
	// valid because the API server is away. It registers no interest.
	Held(tunnel.BaseID) bool
	// Noted gives the annotations of the base's Lease; nil where it has none. They are not
	// changed.
	Noted(tunnel.BaseID) map[string]string
	// NewWait says that bases wait which have neither a Lease nor a Node: renewals of Leases
	// are behind.
	NewWait() bool
	// Drained says that nothing is in flight on a base whose claim is Draining.
	Drained(tunnel.BaseID)
	// Retire is told of each base that is no more, and whose Node was deleted if it had one:
	// nobody asks for it any longer.
	Retire(tunnel.BaseID)
}

// Network is what connects to modules, and who connects for them.
type Network struct {
	// Dial connects to where a probe asks, if it may. Nil: no probe may be made.
	Dial probes.Dial
	// Kubelets serves the kubelet's API of Nodes. Nil: nobody does.
	Kubelets Kubelets
}

// Deps are what the provider works with. All but Meter, Workloads, Limits, Network and
// Observers are needed.
type Deps struct {
	Client kubernetes.Interface
	// Metadata reads objects without their specs.
	Metadata metadata.Interface
	Owner    Owner
	// Tunnels are the transports. A base that is heard through several stays with the one
	// that it is followed through.
	Tunnels  []tunnel.Tunnel
	Recorder record.EventRecorder
	Meter    Meter
	Log      *zap.Logger
	// Envs are the environments whose Nodes are this program's.
	Envs []string
	// Workloads knows the places in which bases run. Nil: nothing is known of them.
	Workloads Workloads
	// Limits gives the limits that hold now, where they may change while it runs: they are
	// asked for each time, and must return at once. Nil: as configured.
	Limits func() Limits
	Network
	Observers
}

// Observers are told what is done. The zero value tells nobody.
type Observers struct {
	// Traces makes spans of pods' ways to be Ready. Nil: none are made.
	Traces *traces.Tracer
	// StatusWritten is told of each status of a pod that the API server took, and what the pod
	// showed before it, as far as that is known. It must return at once, and change nothing.
	StatusWritten func(pod *corev1.Pod, before, status corev1.PodStatus)
}

func (o Observers) wrote(ctx context.Context, w pods.Written) {
	o.Traces.Wrote(ctx, traces.Written{Pod: w.Pod, Status: w.Status, Ready: w.Ready, Began: w.Began, Ended: w.Ended})
	if o.StatusWritten != nil {
		o.StatusWritten(w.Pod, w.Before, w.Status)
	}
}

// complete fills in what may be left out, and fails where something is missing.
func (d *Deps) complete() error {
	missing := slices.Contains([]bool{d.Client == nil, d.Metadata == nil, d.Owner == nil, d.Recorder == nil, d.Log == nil, len(d.Tunnels) == 0}, true)
	if missing {
		return errors.New("make provider: a client, one for metadata, an owner, a recorder, a logger and at least one tunnel are needed")
	}
	if d.Meter == nil {
		d.Meter = NoMeter
	}
	if d.Workloads == nil {
		d.Workloads = unknownWorkloads{}
	}
	if d.Kubelets == nil {
		d.Kubelets = noKubelets{}
	}
	return nil
}

// Provider makes bases Nodes and modules Pods. It is a tunnel.Sink.
type Provider struct {
	cfg     Config
	deps    Deps
	log     *zap.Logger
	meter   Meter
	tunnels tunnels

	bases   *roster
	queue   workqueue.TypedRateLimitingInterface[tunnel.BaseID] // a key is worked on by one worker at a time
	nodes   *nodes
	pods    *seenPods
	history *history
	server  *serverVersion
	ready   chan struct{} // closed once the Nodes that are there were adopted
}

// New checks the configuration, completed with defaults, and makes a Provider. It
// starts nothing.
func New(cfg Config, deps Deps) (*Provider, error) {
	cfg = cfg.Complete()
	if err := cfg.Validate(); err != nil {
		return nil, fmt.Errorf("configure provider: %w", err)
	}
	if err := deps.complete(); err != nil {
		return nil, err
	}
	history, err1 := newHistory(cfg.HistoryLimit)
	door, err2 := newAdmission(cfg.Admission, cfg.StaleAfter, cfg.HistoryLimit)
	errs := []error{err1, err2}
	envs := map[string]bool{}
	for _, env := range deps.Envs {
		errs = append(errs, plan.CheckEnv(env))
		envs[env] = true
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("make provider: %w", err)
	}
	p := &Provider{
		cfg: cfg, deps: deps, log: deps.Log, meter: deps.Meter, tunnels: tunnels{map[string]tunnel.Tunnel{}, deps.Meter, deps.Log, newQuestions(cfg.Config)},
		nodes: newNodes(deps.Client, deps.Meter, deps.Log), history: history, ready: make(chan struct{}),
		server: newServerVersion(deps.Client.Discovery(), deps.Log),
		queue:  workqueue.NewTypedRateLimitingQueueWithConfig(workqueue.NewTypedItemExponentialFailureRateLimiter[tunnel.BaseID](retryBase, retryMax), workqueue.TypedRateLimitingQueueConfig[tunnel.BaseID]{Name: "bases"}),
	}
	followLimits(deps.Limits, door, p.tunnels.budget)
	for _, t := range deps.Tunnels {
		p.tunnels.byName[t.Name()] = t
	}
	p.bases = &roster{
		registry: newRegistry(), cfg: cfg.Config, envs: envs, tunnels: p.tunnels, nodes: p.nodes, history: history, log: deps.Log,
		door: door, owner: deps.Owner, refusing: refusing{refusals.New(deps.Log), deps.Meter, deps.Workloads}, heard: p.Heartbeat,
	}
	known, err := revisions.New(revisions.Deps{Client: deps.Client, Metadata: deps.Metadata, Log: p.log, Wake: p.podsChanged})
	if err != nil {
		return nil, fmt.Errorf("make provider: %w", err)
	}
	p.pods = &seenPods{pods.New(
		pods.Deps{Client: deps.Client, Recorder: deps.Recorder, Meter: p.meter, Log: p.log, Workers: cfg.Workers},
		pods.Hooks{Wake: p.podsChanged, MayWrite: p.mayWrite, Address: p.nodes.address, Allocatable: p.nodes.allocatable, Wrote: deps.wrote},
	), known, probes.New(cfg.Probes, probes.Deps{Dial: deps.Dial, Recorder: deps.Recorder, Meter: p.meter}, probes.Hooks{Wake: p.podsChanged})}
	return p, nil
}

const (
	// A base whose work failed is worked on again after retryBase, doubled each
	// time up to retryMax.
	retryBase = 50 * time.Millisecond
	retryMax  = 30 * time.Second
)

// Run serves until ctx ends, and returns when all that it started has ended. It returns
// an error only for what no retry can mend.
func (p *Provider) Run(parent context.Context) error {
	ctx, cancel := context.WithCancelCause(parent)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel(nil)
	defer p.queue.ShutDown()

	if err := errors.Join(p.nodes.watch(p.bases.nodeAdded, p.nodeChanged), p.deps.Workloads.Watch(wakes(p.bases.registry, p.queue))); err != nil {
		return err
	}
	wg.Go(func() { p.nodes.informer.RunWithContext(ctx) })
	wg.Go(func() { cancel(p.pods.Run(ctx)) })
	if cache.WaitForCacheSync(ctx.Done(), p.nodes.informer.HasSynced, p.pods.HasSynced) {
		p.server.read(ctx) // before Nodes are made
		wg.Go(func() { p.server.follow(ctx) })
		p.bases.adopt()
		for _, r := range p.bases.all() {
			p.queue.Add(r.id)
		}
		close(p.ready)
		for range p.cfg.Workers {
			wg.Go(func() { p.work(ctx) })
		}
		wg.Go(func() { listen(ctx, p.bases.registry, p.queue) })
		<-ctx.Done()
	}
	if parent.Err() != nil {
		return nil
	}
	return context.Cause(ctx)
}

// listenEvery is how often it is looked which bases are silent. A timer for each base would
// be moved by each of its messages.
const listenEvery = time.Second

// listen queues the bases that are silent, until ctx ends.
func listen(ctx context.Context, bases *registry, queue workqueue.TypedInterface[tunnel.BaseID]) {
	tick := time.NewTicker(listenEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			bases.each(func(r *entry) {
				if r.inbox.silent(now) {
					queue.Add(r.id)
				}
			})
		}
	}
}

// Ready is closed once the caches are synced and the Nodes that are there were
// adopted.
func (p *Provider) Ready() <-chan struct{} { return p.ready }

// podsChanged queues the base on a Node, whose pods changed. It does not block.
func (p *Provider) podsChanged(node string) {
	if r := p.bases.onNode(node); r != nil {
		r.inbox.unsettle()
		p.queue.Add(r.id)
	}
}

// mayWrite says whether the claim of the base on a Node is held now.
func (p *Provider) mayWrite(node string) bool {
	r := p.bases.onNode(node)
	if r == nil {
		return false
	}
	_, held := p.deps.Owner.Claim(r.id)
	return held
}

// nodeChanged queues the base whose Node differs from before, or was lost.
func (p *Provider) nodeChanged(name string, lost types.UID) {
	r := p.bases.onNode(name)
	if r == nil {
		return
	}
	if lost != "" {
		r.inbox.nodeDeleted(lost)
	}
	p.queue.Add(r.id)
}

// HasNode says whether a base has a Node.
func (p *Provider) HasNode(id tunnel.BaseID) bool {
	name, err := plan.NodeName(id)
	return err == nil && p.nodes.get(name) != nil
}

// LeaseMeta gives the labels by which a base's Lease is to be found, and the annotations
// by which whoever owns it next knows what was installed on it: nil while it is not served
// here.
func (p *Provider) LeaseMeta(id tunnel.BaseID) (labels, notes map[string]string) {
	r := p.bases.get(id)
	if r == nil {
		return nil, nil
	}
	if installed := r.installed.Load(); installed != nil {
		notes = plan.LeaseNotes(*installed)
	}
	return plan.LeaseLabels(r.first), notes
}

// Changed is to be called when a claim was gained or lost or is about to be handed
// over. It returns at once.
func (p *Provider) Changed(id tunnel.BaseID) { p.queue.Add(id) }

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
		p.log.Warn("sync failed, retrying", zap.Stringer("base", id), zap.Error(err))
		p.queue.AddRateLimited(id)
	default:
		p.queue.Forget(id)
		if next > 0 {
			p.queue.AddAfter(id, next)
		}
	}
}

// Census counts the bases as they are now, and tells what is amiss.
func (p *Provider) Census() Census {
	now := time.Now()
	c := Census{Queued: p.queue.Len(), Unread: p.pods.revisions.Unread(), NodesLag: p.nodes.lag.At(now), PodsLag: p.pods.Lag(now)}
	for _, r := range p.bases.all() {
		s := r.inbox.lastSummary()
		switch {
		case !s.Served:
			continue
		case s.Ready:
			c.Ready++
		default:
			c.NotReady++
		}
		c.Modules += s.Modules
		c.Unmanaged += s.Unmanaged
	}
	return c
}
