package election

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	"module-controller/internal/rewatch"
)

// watch follows the Leases of members and bases until ctx ends. Synced waits until
// all that was there is known.
func (r *Replica) watch(ctx context.Context, wg *sync.WaitGroup) (synced func(context.Context) bool, err error) {
	r.memberFeed = &feed{what: "members", leases: r.memberClient, selector: labelComponent + "=" + componentMember, known: r.members, see: r.seeMember}
	r.baseFeed = &feed{what: "bases", leases: r.baseClient, known: r.bases, see: r.seeBase,
		selector: labelComponent + "=" + componentBase + "," + labelEnv + " in (" + strings.Join(r.cfg.Envs, ",") + ")"}
	members, bases := informer(r.memberFeed), informer(r.baseFeed)
	memberEvents, err := members.AddEventHandler(r.memberFeed.handler(func(l *coordinationv1.Lease, _ bool) { r.memberGone(l) }))
	if err != nil {
		return nil, fmt.Errorf("watch members: %w", err)
	}
	baseEvents, err := bases.AddEventHandler(r.baseFeed.handler(r.baseGone))
	if err != nil {
		return nil, fmt.Errorf("watch bases: %w", err)
	}
	r.memberLag.Follow(members.GetStore().LastStoreSyncResourceVersion)
	r.baseLag.Follow(bases.GetStore().LastStoreSyncResourceVersion)
	wg.Go(func() { members.RunWithContext(ctx) })
	wg.Go(func() { bases.RunWithContext(ctx) })
	return func(waiting context.Context) bool {
		return cache.WaitForCacheSync(waiting.Done(), memberEvents.HasSynced, baseEvents.HasSynced)
	}, nil
}

func informer(f *feed) cache.SharedIndexInformer {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = f.selector
			return f.leases.List(ctx, o)
		},
		WatchFuncWithContext: rewatch.Resumed(func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = f.selector
			w, err := f.leases.Watch(ctx, o)
			if err != nil {
				return nil, err // as it is: the informer looks at it
			}
			return f.follow(w), nil
		}),
	}
	i := cache.NewSharedIndexInformer(lw, &coordinationv1.Lease{}, 0, cache.Indexers{})
	// It can only be refused after the informer was started.
	if err := i.SetTransform(func(obj any) (any, error) {
		if l, ok := obj.(*coordinationv1.Lease); ok {
			l.ManagedFields = nil
		}
		return obj, nil
	}); err != nil {
		panic(err)
	}
	return i
}

// handler passes Leases on; gone is told whether they are as they were deleted, or only
// as they were seen last.
func handler(see func(*coordinationv1.Lease), gone func(l *coordinationv1.Lease, final bool)) cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { see(obj.(*coordinationv1.Lease)) },
		UpdateFunc: func(_, obj any) { see(obj.(*coordinationv1.Lease)) },
		DeleteFunc: func(obj any) {
			missed, unseen := obj.(cache.DeletedFinalStateUnknown)
			if unseen {
				obj = missed.Obj
			}
			if l, ok := obj.(*coordinationv1.Lease); ok {
				gone(l, !unseen)
			}
		},
	}
}

func (r *Replica) seeMember(l *coordinationv1.Lease) {
	now := time.Now()
	r.mu.Lock()
	r.members.keep(l)
	concerned := r.state.Concerned(r.state.SeeMember(parseMember(l), now), now)
	r.mu.Unlock()
	r.reconcile(concerned)
}

func (r *Replica) memberGone(l *coordinationv1.Lease) {
	now := time.Now()
	r.mu.Lock()
	if l.Name != r.state.Name { // our own stays: whoever renews it learns what became of it
		r.members.drop(l)
	}
	concerned := r.state.Concerned(r.state.MemberGone(l.Name, revision(l.ResourceVersion), now), now)
	r.mu.Unlock()
	r.reconcile(concerned)
}

// seeBase takes in a base's Lease and has the base reconciled.
func (r *Replica) seeBase(l *coordinationv1.Lease) {
	now := time.Now()
	id, ok := r.cfg.Base(l.Name)
	if !ok || !slices.Contains(r.cfg.Envs, id.Env) {
		return // not a base's, or labelled by hand as one of ours
	}
	seen := parse(l)
	r.mu.Lock()
	was := r.bases[l.Name]
	r.bases.keep(l)
	end := r.state.SeeBase(l.Name, seen, now)
	r.mu.Unlock()
	r.noteReceived(was, seen, l.Name)
	r.tellEnd(l.Name, id, seen, end)
	r.queue.Add(l.Name)
}

// baseGone takes in that a base's Lease was deleted; final says that it is as it was then.
func (r *Replica) baseGone(l *coordinationv1.Lease, final bool) {
	r.mu.Lock()
	if final {
		last := parse(l)
		r.bases.drop(l)
		r.state.BaseGone(l.Name, revision(l.ResourceVersion), &last, time.Now())
	} else {
		r.state.Unseen(l.Name)
	}
	r.mu.Unlock()
	r.queue.Add(l.Name)
}
