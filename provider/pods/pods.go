package pods

import (
	"context"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/record"

	"module-controller/internal/watchlag"
	"module-controller/provider/plan"
)

// Deps are what the room works with. All but Meter are needed.
type Deps struct {
	Client   kubernetes.Interface
	Recorder record.EventRecorder
	Meter    Meter // default: nothing is counted
	Log      *zap.Logger
	// Workers is how many pods are handed over at once.
	Workers int
}

// Hooks are what the room asks of its user. All but Allocatable and Wrote are needed, and
// return at once. They are called from any goroutine, with locks held: they must not call Pods.
type Hooks struct {
	// Wake says that the pods of a Node changed.
	Wake func(node string)
	// MayWrite says whether statuses of a Node's pods may be written now. It is asked
	// before each write; a write that was refused is tried again.
	MayWrite func(node string) bool
	// Address is the address of a Node's base; empty where it is not known.
	Address func(node string) string
	// Allocatable is what the base of a Node has for pods. Default: it is not known.
	Allocatable func(node string) corev1.ResourceList
	// Wrote is told of each status that the API server took. Default: nobody is told.
	Wrote func(context.Context, Written)
}

// Written is a status that the API server took. What it refers to is not changed.
type Written struct {
	Pod *corev1.Pod
	// Before is what the pod showed before, as far as it is known, and Status what it shows now.
	Before, Status corev1.PodStatus
	// Ready: it is the first that says Ready of the pod.
	Ready bool
	// Began and Ended are when it was sent, and taken.
	Began, Ended time.Time
}

// Meter counts what is written. Its methods return at once and may be called from any
// goroutine.
type Meter interface {
	// Wrote counts one write to the API server; the object is "pod".
	Wrote(object string, err error)
	// BoundToReady observes the time from a pod's binding to its readiness, whose
	// ends the API has in whole seconds.
	BoundToReady(time.Duration)
}

type noMeter struct{}

func (noMeter) Wrote(string, error)        {}
func (noMeter) BoundToReady(time.Duration) {}

// Pods are the module pods of the Nodes that this replica serves.
type Pods struct {
	deps      Deps
	hooks     Hooks
	facade    *facade
	store     *store
	handover  *handover
	writer    *writer
	barrier   *barrier
	strangers *strangers
	lag       watchlag.Lag // of the facade's informer
}

// New makes the room. It starts nothing.
func New(deps Deps, hooks Hooks) *Pods {
	if deps.Meter == nil {
		deps.Meter = noMeter{}
	}
	if hooks.Allocatable == nil {
		hooks.Allocatable = func(string) corev1.ResourceList { return nil }
	}
	if hooks.Wrote == nil {
		hooks.Wrote = func(context.Context, Written) {}
	}
	f := newFacade(newInformer(deps.Client))
	p := &Pods{deps: deps, hooks: hooks, facade: f, store: newStore(f, hooks.Wake), barrier: newBarrier()}
	p.lag.Follow(f.version)
	p.writer = &writer{log: deps.Log, next: p.store.pending, do: p.patchStatus, done: p.store.wrote}
	p.handover = &handover{
		facade: f, store: p.store, reader: newReader(deps.Client, deps.Workers), on: p.hostOf, events: deps.Recorder,
	}
	p.strangers = newStrangers(deps, hooks.MayWrite, p.store.serves)
	p.store.left = p.strangers.leave
	return p
}

// hostOf is what environments may refer to of a Node's base.
func (p *Pods) hostOf(node string) host {
	return host{address: p.hooks.Address(node), allocatable: p.hooks.Allocatable(node)}
}

// Run watches pods and writes statuses until ctx ends, and returns when all that it
// started has ended. It returns an error only if the pod controller fails. It is
// called once.
func (p *Pods) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	controller, err := p.newController()
	if err != nil {
		return err
	}
	strangers, err := p.strangers.start()
	if err != nil {
		return err
	}
	wg.Go(func() { p.facade.informer.RunWithContext(ctx) })
	statuses := p.writer.start()
	wg.Go(func() { p.writer.run(ctx, statuses, writers) })
	wg.Go(func() { p.strangers.run(ctx, strangers) })
	wg.Go(func() { p.barrier.run(ctx, p.deps.Client, p.deps.Log) })
	return runController(ctx, controller, p.deps.Workers)
}

// HasSynced says whether the cache of pods is filled. Nothing must be served before.
func (p *Pods) HasSynced() bool { return p.facade.informer.HasSynced() }

// Serve begins to take the pods of a Node whose claim was seen to be held at the given
// time. Freshness is Unknown from now on. Pods that were taken already stay.
func (p *Pods) Serve(node string, claimed time.Time) {
	p.store.serve(node)
	p.barrier.want(node, claimed)
	p.strangers.serve(node)
}

// Show has the pod controller see the pods on a served Node. Showing it again is
// harmless.
func (p *Pods) Show(node string) { p.facade.showNode(node) }

// Renew has the environments of pods on a Node resolved anew, and wakes the Node then.
func (p *Pods) Renew(node string, uids []types.UID) {
	for _, pod := range p.store.renew(node, uids) {
		p.facade.again(pod)
	}
}

// Forget ends Serve and Show. The pods vanish from the pod controller's sight after
// their record was emptied, so their deletion there reaches nobody.
func (p *Pods) Forget(node string) {
	p.barrier.forget(node)
	p.store.forget(node)
	p.facade.hideNode(node)
}

// On gives the pods of a Node for the planner: those that the API server has, handed
// over or not, and those that are gone from the API but not from the base.
func (p *Pods) On(node string) []plan.Pod { return p.store.on(node) }

// InCluster gives the pods that the API server has on a Node, served or not. They must
// not be changed.
func (p *Pods) InCluster(node string) []*corev1.Pod { return p.facade.onNode(node) }

// All gives the module pods that are bound to Nodes, of all replicas, as the cache has
// them. They must not be changed.
func (p *Pods) All() []*corev1.Pod { return p.facade.all() }

// Version is a resource version that the cache of pods has reached; empty where that is
// not known. What On gives later is at least as new.
func (p *Pods) Version() string { return p.facade.version() }

// Lag is how far behind the watch of pods is at a time: see package watchlag.
func (p *Pods) Lag(now time.Time) time.Duration { return p.lag.At(now) }

// Writing says whether a status of a pod that the API server has on a Node is being
// written.
func (p *Pods) Writing(node string) bool { return p.store.writing(node) }

// Drop forgets a pod.
func (p *Pods) Drop(pod *corev1.Pod) { p.store.drop(pod) }
