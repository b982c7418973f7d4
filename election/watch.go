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

// watch follows Leases until ctx ends: those of members, and of bases those that concern
// this replica. Synced waits until all that the watches show is known.
//
// A renewal is the most frequent write there is, and is shown to the owner alone. All are
// shown what changes hands, which is in another state than owned until its first renewal;
// and what another installation holds, for it is taken once that falls silent.
func (r *Replica) watch(ctx context.Context, wg *sync.WaitGroup) (synced func(context.Context) bool, err error) {
	r.memberFeed = &feed{what: "members", leases: r.memberClient, selector: MemberSelector, quiet: watchQuiet, known: r.members, see: r.seeMember,
		gone: func(l *coordinationv1.Lease, _ bool) { r.memberGone(l) }}
	r.ownFeed = r.feedOf("own bases", labelOwner+"="+r.state.Name, watchQuiet, r.ownLeft)
	moving := r.feedOf("bases that change hands", labelState+"!="+stateOwned, idleQuiet, r.rested)
	others := r.feedOf("bases of others", labelInstallation+"!="+r.cfg.Namespace, idleQuiet, r.rested)
	r.baseFeeds = []*feed{r.ownFeed, moving, others}
	var started []cache.InformerSynced
	for _, f := range append([]*feed{r.memberFeed}, r.baseFeeds...) {
		i := informer(f)
		events, err := i.AddEventHandler(f.handler())
		if err != nil {
			return nil, fmt.Errorf("watch %s: %w", f.what, err)
		}
		started = append(started, events.HasSynced)
		switch shown := i.GetStore().LastStoreSyncResourceVersion; f {
		case r.memberFeed:
			r.memberLag.Follow(shown)
		case r.ownFeed: // it shows whatever this replica writes
			r.baseLag.Follow(shown)
		}
		wg.Go(func() { i.RunWithContext(ctx) })
	}
	return func(waiting context.Context) bool { return cache.WaitForCacheSync(waiting.Done(), started...) }, nil
}

// feedOf is a watch of the bases' Leases that a selector selects, of our environments.
func (r *Replica) feedOf(what, selector string, quiet time.Duration, gone func(l *coordinationv1.Lease, final bool)) *feed {
	return &feed{what: what, leases: r.baseClient, selector: r.cfg.allBases() + "," + selector, quiet: quiet, known: r.bases, see: r.seeBase, gone: gone}
}

// allBases selects the Leases of the bases of our environments, whoever owns them.
func (c Config) allBases() string {
	return BaseSelector + "," + labelEnv + " in (" + strings.Join(c.Envs, ",") + ")"
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
	change := r.state.SeeMember(parseMember(l), now)
	concerned := r.state.Concerned(change, now)
	r.mu.Unlock()
	r.takeUp(change, concerned)
}

func (r *Replica) memberGone(l *coordinationv1.Lease) {
	now := time.Now()
	r.mu.Lock()
	if l.Name != r.state.Name { // our own stays: whoever renews it learns what became of it
		r.members.drop(l)
	}
	change := r.state.MemberGone(l.Name, revision(l.ResourceVersion), now)
	concerned := r.state.Concerned(change, now)
	r.mu.Unlock()
	r.takeUp(change, concerned)
}

// seeBase takes in a base's Lease and has the base reconciled, unless that one is known: a watch
// shows what was written here, too.
func (r *Replica) seeBase(l *coordinationv1.Lease) {
	if r.keepBase(l, time.Now()) {
		r.queue.Add(l.Name)
	}
}

// keepBase takes in a base's Lease that was seen now; false where it is none, or is known.
func (r *Replica) keepBase(l *coordinationv1.Lease, now time.Time) bool {
	id, ok := r.cfg.Base(l.Name)
	if !ok || !slices.Contains(r.cfg.Envs, id.Env) {
		return false // not a base's, or labelled by hand as one of ours
	}
	seen := parse(l)
	r.mu.Lock()
	was := r.bases[l.Name]
	r.bases.keep(l)
	end := r.state.SeeBase(l.Name, seen, now)
	r.mu.Unlock()
	r.noteReceived(was, seen, l.Name)
	r.tellEnd(l.Name, id, seen, end)
	return was == nil || seen.Revision > revision(was.ResourceVersion)
}

// ownLeft takes in that a base's Lease is not labelled as ours any more, or was deleted. A
// watch shows it as it was before, with the revision of the change if that is final.
func (r *Replica) ownLeft(l *coordinationv1.Lease, final bool) {
	r.shownNoMore(l, final, r.state.Left)
}

// rested takes in that a base's Lease is not among those any more that change hands, or that
// others hold.
func (r *Replica) rested(l *coordinationv1.Lease, final bool) {
	r.shownNoMore(l, final, r.state.Rested)
}

// shownNoMore has the state take in that a watch shows a Lease no more, and the base
// reconciled if take says so.
func (r *Replica) shownNoMore(l *coordinationv1.Lease, final bool, take func(key string, revision uint64) bool) {
	var at uint64
	if final {
		at = revision(l.ResourceVersion)
	}
	r.mu.Lock()
	changed := take(l.Name, at)
	r.mu.Unlock()
	if changed {
		r.queue.Add(l.Name)
	}
}
