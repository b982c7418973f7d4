package suite

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"

	"module-controller/e2e/harness"
	"module-controller/e2e/history"
)

// recorder watches what a world's Leases, Nodes and pods show, for the history.
type recorder struct {
	*world
	end  context.CancelFunc
	stop []func()

	before map[string]harness.SimBase
	log    int64 // the size of the audit log at the beginning

	mu   sync.Mutex // mu guards what follows
	h    history.History
	last map[string]owner // by base
	pods map[types.UID]*history.Pod
	on   map[string]string // the base of a pod, by name; empty where it had several
	seen chan struct{}     // closed when a pod changed
}

// record begins to watch. Who gets a recorder must end it with history.
func (w *world) record() *recorder {
	w.Helper()
	ctx, end := context.WithCancel(w.Context())
	log, err := audits.size()
	w.must(err)
	r := &recorder{
		world: w, end: end, before: w.baselines(), log: log, last: map[string]owner{},
		pods: map[types.UID]*history.Pod{}, on: map[string]string{}, seen: make(chan struct{}),
		h: history.History{Began: time.Now(), Deeds: map[string]history.Deeds{}},
	}
	ours := informers.WithTweakListOptions(func(o *metav1.ListOptions) {
		o.LabelSelector = "virtual-kubelet.koupleless.io/env=" + w.env
	})
	leases := informers.NewSharedInformerFactoryWithOptions(client, 0, ours, informers.WithNamespace(corev1.NamespaceNodeLease))
	nodes := informers.NewSharedInformerFactoryWithOptions(client, 0, ours)
	pods := informers.NewSharedInformerFactoryWithOptions(client, 0, informers.WithNamespace(w.env))
	watched := leases.Coordination().V1().Leases().Informer()
	r.handle(watched, func(obj any) { r.seeLease(obj.(*coordinationv1.Lease)) }, func(any) {})
	synced := []cache.InformerSynced{watched.HasSynced}
	watched = nodes.Core().V1().Nodes().Informer()
	r.handle(watched, func(obj any) { r.seeNode(obj.(*corev1.Node), false) }, func(obj any) { r.seeNode(obj.(*corev1.Node), true) })
	synced = append(synced, watched.HasSynced)
	watched = pods.Core().V1().Pods().Informer()
	r.handle(watched, func(obj any) { r.seePod(obj.(*corev1.Pod), false) }, func(obj any) { r.seePod(obj.(*corev1.Pod), true) })
	synced = append(synced, watched.HasSynced)
	for _, f := range []informers.SharedInformerFactory{leases, nodes, pods} {
		f.Start(ctx.Done())
		r.stop = append(r.stop, f.Shutdown)
	}
	if !cache.WaitForCacheSync(ctx.Done(), synced...) {
		w.Fatal("the recorder saw nothing")
	}
	return r
}

// baselines gives what the bases did before.
func (w *world) baselines() map[string]harness.SimBase {
	w.Helper()
	bases := map[string]harness.SimBase{}
	for _, n := range w.nodes() {
		id := w.baseOf(n.Name)
		b, err := w.fleet.Base(id)
		w.must(err)
		bases[id] = b
	}
	return bases
}

// since gives what was counted more than before.
func since(before, now map[string]int) map[string]int {
	more := map[string]int{}
	for module, n := range now {
		if n > before[module] {
			more[module] = n - before[module]
		}
	}
	return more
}

func (r *recorder) handle(i cache.SharedIndexInformer, see, lose func(any)) {
	_, err := i.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    see,
		UpdateFunc: func(_, now any) { see(now) },
		DeleteFunc: func(obj any) {
			if missed, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = missed.Obj
			}
			lose(obj)
		},
	})
	r.must(err)
}

// baseOf gives the identity in a Node's name.
func (w *world) baseOf(node string) string {
	return strings.TrimSuffix(strings.TrimPrefix(node, "vnode."), "."+w.env)
}

func (r *recorder) seeLease(l *coordinationv1.Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	base, now := r.baseOf(l.Name), ownerOf(*l)
	if !strings.HasPrefix(now.holder, harness.Namespace+"-") || r.last[base] == now {
		return // nobody's, or somebody's who edited it by hand
	}
	r.last[base] = now
	r.h.Claims = append(r.h.Claims, history.Claim{At: time.Now(), Base: base, Holder: now.holder, Epoch: int(now.epoch)})
}

func (r *recorder) seeNode(n *corev1.Node, deleted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	sight := history.Sight{At: time.Now(), Base: r.baseOf(n.Name)}
	switch {
	case deleted:
		sight.What = "deleted"
	case !nodeReady(*n):
		sight.What = "not Ready"
	default:
		return
	}
	r.h.Sights = append(r.h.Sights, sight)
}

func (r *recorder) seePod(p *corev1.Pod, deleted bool) {
	if p.Spec.NodeName == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	is := r.pods[p.UID]
	if is == nil {
		c := p.Spec.Containers[0]
		is = &history.Pod{UID: string(p.UID), Base: r.baseOf(p.Spec.NodeName), Module: c.Name + ":" + c.Env[0].Value, Created: now, Before: podReady(*p)}
		r.pods[p.UID] = is
		if base, known := r.on[p.Name]; known && base != is.Base {
			r.on[p.Name] = ""
		} else {
			r.on[p.Name] = is.Base
		}
	}
	note := func(happened bool, when *time.Time) {
		if happened && when.IsZero() {
			*when = now
		}
	}
	note(podReady(*p), &is.Ready)
	note(p.DeletionTimestamp != nil || deleted, &is.Deleted)
	note(deleted, &is.Gone)
	close(r.seen)
	r.seen = make(chan struct{})
}

// until waits until a pod is as it should be, and says whether that came in time.
func (r *recorder) until(uid types.UID, within time.Duration, is func(history.Pod) bool) bool {
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
			return true // nobody wants to know any more
		}
	}
}

// fault notes that a fault begins; the function notes its end. Killed is the
// incarnation whose process it kills, silenced are those that it keeps from renewing
// their membership.
func (r *recorder) fault(name, killed string, silenced ...string) (ended func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	i := len(r.h.Faults)
	now := time.Now()
	r.h.Faults = append(r.h.Faults, history.Fault{Begun: now, Ended: now, Name: name, Killed: killed, Silenced: silenced})
	return func() {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.h.Faults[i].Ended = time.Now()
	}
}

// history ends the watch, and gives what it showed and what the bases did.
func (r *recorder) history() *history.History {
	r.Helper()
	r.end()
	for _, stop := range r.stop {
		stop()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for base := range r.last {
		b, err := r.fleet.Base(base)
		r.must(err)
		if b.Forgotten > 0 {
			r.Errorf("%s forgot %d entries of its log", base, b.Forgotten)
		}
		deeds := history.Deeds{Installs: since(r.before[base].Installs, b.Installs), Uninstalls: since(r.before[base].Uninstalls, b.Uninstalls)}
		for _, c := range b.Commands {
			deeds.Commands = append(deeds.Commands, history.Command{At: c.At, Verb: c.Command, Module: c.Module, Request: c.Request})
		}
		r.h.Deeds[base] = deeds
	}
	for _, p := range r.pods {
		r.h.Pods = append(r.h.Pods, *p)
	}
	var err error
	r.h.Writes, err = audits.writes(r.log, r.env, func(resource, name string) string {
		if resource == "nodes" {
			return r.baseOf(name)
		}
		return r.on[name]
	})
	r.must(err)
	slices.SortFunc(r.h.Pods, func(a, b history.Pod) int { return a.Created.Compare(b.Created) })
	r.h.Ended = time.Now()
	return &r.h
}

// keptRules checks what was recorded, and gives it in numbers.
func (r *recorder) keptRules() history.Report {
	r.Helper()
	violations, report := r.history().Check()
	if report.Commands > 0 && report.Writes == 0 {
		r.Error("the audit log tells of no write")
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

// summary is a report in one line.
func summary(r history.Report) string {
	return fmt.Sprintf("%d faults, %d claims, %d commands, %d writes of Nodes and pods, %d pods; a pod was Ready after %s and gone after %s at most; %d kills were alone, after which the last base was owned again within %s",
		r.Faults, r.Claims, r.Commands, r.Writes, r.Pods, r.ToReady.Round(time.Millisecond), r.ToGone.Round(time.Millisecond), r.Kills, r.Takeover.Round(time.Millisecond))
}
