package world

import (
	"context"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"module-controller/e2e/harness"
	"module-controller/e2e/history"
)

// Recorder watches what a World's Leases, Nodes and pods show, for the history. It may
// be used from any goroutine.
type Recorder struct {
	*World
	end  context.CancelFunc
	stop []func() // each waits for a part of the watch

	before map[string]harness.SimBase // what the bases did before, by identity
	log    int64                      // the size of the audit log at the beginning

	mu   sync.Mutex // mu guards what follows
	h    history.History
	last map[string]Owner  // by base
	held map[string]string // who holds each membership Lease
	pods map[types.UID]*history.Pod
	on   map[string]string // the base of a pod, by name; empty where it had several
	seen chan struct{}     // closed when a pod changed
	made map[string]int    // what the load was, by kind
}

// Record begins to watch. Who gets a Recorder must end it with History or KeptRules.
func (w *World) Record() *Recorder {
	w.Helper()
	ctx, end := context.WithCancel(w.Context())
	log, err := w.cluster.audit.size()
	w.Must(err)
	r := &Recorder{
		World: w, end: end, before: w.effectsBefore(), log: log, last: map[string]Owner{}, held: map[string]string{},
		pods: map[types.UID]*history.Pod{}, on: map[string]string{}, seen: make(chan struct{}), made: map[string]int{},
		h: history.History{Began: time.Now(), Effects: map[string]history.Effects{}},
	}
	client := w.cluster.Client
	ofEnv := informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = w.OfEnv().LabelSelector })
	ofMembers := informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = "virtual-kubelet.koupleless.io/component=module-controller"
	})
	members := informers.NewSharedInformerFactoryWithOptions(client, 0, ofMembers, informers.WithNamespace(w.installation.name))
	leases := informers.NewSharedInformerFactoryWithOptions(client, 0, ofEnv, informers.WithNamespace(corev1.NamespaceNodeLease))
	nodes := informers.NewSharedInformerFactoryWithOptions(client, 0, ofEnv)
	pods := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(w.Env))
	synced := []cache.InformerSynced{
		handle(w, members.Coordination().V1().Leases().Informer(), r.seeMember),
		handle(w, leases.Coordination().V1().Leases().Informer(), r.seeLease),
		handle(w, nodes.Core().V1().Nodes().Informer(), r.seeNode),
		handle(w, pods.Core().V1().Pods().Informer(), r.seePod),
	}
	for _, f := range []informers.SharedInformerFactory{members, leases, nodes, pods} {
		f.Start(ctx.Done())
		r.stop = append(r.stop, f.Shutdown)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		w.Fatal("the recorder saw nothing")
	}
	return r
}

// effectsBefore gives what the bases did so far, by identity.
func (w *World) effectsBefore() map[string]harness.SimBase {
	w.Helper()
	bases := map[string]harness.SimBase{}
	for _, n := range w.Nodes() {
		id := w.BaseOf(n.Name)
		b, err := w.Fleet.Base(id)
		w.Must(err)
		bases[id] = b
	}
	return bases
}

// handle has see called for each object that is added, changed or deleted.
func handle[T any](tb testing.TB, i cache.SharedIndexInformer, see func(obj T, deleted bool)) cache.InformerSynced {
	tb.Helper()
	_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { see(obj.(T), false) },
		UpdateFunc: func(_, now any) { see(now.(T), false) },
		DeleteFunc: func(obj any) {
			if missed, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = missed.Obj
			}
			see(obj.(T), true)
		},
	})
	if err != nil {
		tb.Fatal(err)
	}
	return i.HasSynced
}

// Fault notes that a fault begins; the function notes its end. Killed is the
// incarnation whose process it kills, silenced are those that it keeps from renewing
// their membership.
func (r *Recorder) Fault(name, killed string, silenced ...string) (ended func()) {
	return r.fault(history.Fault{Name: name, Killed: killed, Silenced: silenced})
}

// FaultOfBases notes that some bases begin not to do what they are told, or to show it
// late; the function notes the end of it.
func (r *Recorder) FaultOfBases(name string, bases ...string) (ended func()) {
	return r.fault(history.Fault{Name: name, Faulty: bases})
}

func (r *Recorder) fault(f history.Fault) (ended func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := len(r.h.Faults)
	f.Begun = time.Now()
	f.Ended = f.Begun
	r.h.Faults = append(r.h.Faults, f)
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.h.Faults[i].Ended = time.Now()
	}
}

// Claims gives what was seen of claims so far, the oldest first.
func (r *Recorder) Claims() []history.Claim {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.h.Claims)
}

// LastOwners gives who was last seen to own each base, by identity.
func (r *Recorder) LastOwners() map[string]Owner {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.last)
}

// AwaitPod waits until a pod was seen to be as it should be, and says whether that came
// in time.
func (r *Recorder) AwaitPod(uid types.UID, within time.Duration, is func(history.Pod) bool) bool {
	timer := time.NewTimer(within)
	defer timer.Stop()
	for {
		r.mu.Lock()
		p, next := r.pods[uid], r.seen
		done := p != nil && is(*p)
		r.mu.Unlock()
		if done {
			return true
		}
		select {
		case <-next:
		case <-timer.C:
			return false
		case <-r.Context().Done():
			return true // the test has ended
		}
	}
}

// History ends the watch, and gives what it showed and what the bases did.
func (r *Recorder) History() *history.History {
	r.Helper()
	r.end()
	for _, stop := range r.stop {
		stop()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for base := range r.last {
		r.h.Effects[base] = r.effects(base)
	}
	for _, p := range r.pods {
		r.h.Pods = append(r.h.Pods, *p)
	}
	var err error
	r.h.Writes, err = r.cluster.audit.writes(r.log, r.Env, func(resource, name string) string {
		if resource == "nodes" {
			return r.BaseOf(name)
		}
		return r.on[name]
	})
	r.Must(err)
	slices.SortFunc(r.h.Pods, func(a, b history.Pod) int { return a.Created.Compare(b.Created) })
	r.h.Ended = time.Now()
	return &r.h
}

// effects gives what a base did since the watch began.
func (r *Recorder) effects(base string) history.Effects {
	r.Helper()
	b, err := r.Fleet.Base(base)
	r.Must(err)
	if b.Forgotten > 0 {
		r.Errorf("%s forgot %d entries of its log", base, b.Forgotten)
	}
	before := r.before[base]
	e := history.Effects{Installs: more(before.Installs, b.Installs), Uninstalls: more(before.Uninstalls, b.Uninstalls)}
	for _, c := range slices.DeleteFunc(b.Commands, IsBaseline) {
		e.Commands = append(e.Commands, history.Command{At: c.At, Verb: c.Command, Module: c.Module, Request: c.Request})
	}
	for _, s := range b.Serving {
		e.Served = append(e.Served, history.Serving{At: s.At, Modules: s.Modules})
	}
	return e
}

// more gives what was counted more than before.
func more(before, now map[string]int) map[string]int {
	added := map[string]int{}
	for module, n := range now {
		if n > before[module] {
			added[module] = n - before[module]
		}
	}
	return added
}

// KeptRules ends the watch and checks what was recorded, and gives it in numbers.
func (r *Recorder) KeptRules() history.Report {
	r.Helper()
	violations, report := r.History().Check()
	if report.Commands > 0 && report.Writes == 0 {
		r.Error("the audit log has no write")
	}
	for i, v := range violations {
		if i == 20 {
			r.Errorf("and %d more", len(violations)-i)
			break
		}
		r.Error(v)
	}
	return report
}

// IsBaseline says of what a base got that it is the answer to its question at its start. It is
// no command for a module: what it had installed would show among the installs.
func IsBaseline(c harness.SimCommand) bool { return c.Command == "base/baseline" }
