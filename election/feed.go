package election

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/watch"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
	"k8s.io/client-go/tools/cache"
)

const (
	// watchQuiet is how long a watch may show nothing before it is asked whether there was
	// something to show; idleQuiet, where nothing is what it shows as a rule, and nobody
	// waits for it.
	watchQuiet = 5 * time.Second
	idleQuiet  = time.Minute
	// lookEvery is how often the watches are looked at.
	lookEvery = time.Second
	// stalledTold is how long it is not told again that a watch stalls.
	stalledTold = time.Minute
)

// feed is one of the watches, of members or of bases, with what tells whether it lives. A
// connection may be sound and the watch on it show nothing.
type feed struct {
	what     string
	leases   coordinationclient.LeaseInterface
	selector string
	quiet    time.Duration // watchQuiet or idleQuiet
	known    leases        // guarded by the replica's mu
	see      func(*coordinationv1.Lease)
	gone     func(l *coordinationv1.Lease, final bool) // shown no more

	mu sync.Mutex
	// mu guards what follows
	heard   time.Time       // it showed something last, or had nothing to show
	asked   time.Time       // it was asked last whether it had
	told    time.Time       // it was told last that it stalls
	current watch.Interface // nil before the first
	stalled bool            // it did not show what there was
}

// follow has a watch that begins be looked at from now on. What it shows is heard where the
// informer passes it on: who wraps a watch must not be stuck when nobody reads it any more.
func (f *feed) follow(w watch.Interface) watch.Interface {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.current = w
	return w
}

// handler passes Leases on, and notes that something was shown.
func (f *feed) handler() cache.ResourceEventHandler {
	return handler(
		func(l *coordinationv1.Lease) { f.hear(); f.see(l) },
		func(l *coordinationv1.Lease, final bool) { f.hear(); f.gone(l, final) })
}

func (f *feed) hear() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.heard, f.stalled = time.Now(), false
}

// doubtful says whether it is to be asked now whether there was something to show.
func (f *feed) doubtful(now time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	last := f.heard
	if f.asked.After(last) {
		last = f.asked
	}
	return now.Sub(last) >= f.quiet
}

// heardSince says whether it showed something after a time.
func (f *feed) heardSince(at time.Time) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.heard.After(at)
}

// restart ends the watch, so that another one begins where this one stopped. Tell says
// that it is to be told.
func (f *feed) restart(now time.Time) (tell bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.stalled = true
	if tell = now.Sub(f.told) >= stalledTold; tell {
		f.told = now
	}
	if f.current != nil {
		f.current.Stop()
	}
	return tell
}

func (f *feed) isStalled() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.stalled
}

// lookAtFeeds sees that the watches show what there is, until ctx ends. A member whose
// watch of its own bases stalls does not see what it is given, and says so.
func (r *Replica) lookAtFeeds(ctx context.Context) {
	var asking sync.WaitGroup
	defer asking.Wait()
	for _, f := range append([]*feed{r.memberFeed}, r.baseFeeds...) {
		asking.Go(func() {
			for pause(ctx, lookEvery) {
				if r.Valid() && f.doubtful(time.Now()) {
					if err := r.compare(ctx, f); err != nil && ctx.Err() == nil {
						r.log.Info("leases not listed", zap.String("of", f.what), zap.Error(err))
					}
				}
				r.tellStalled()
			}
		})
	}
}

// compare lists what a watch should have shown, and takes in what it did not. It may be on
// its way: only a watch that shows nothing for another moment stalls, and is ended.
func (r *Replica) compare(ctx context.Context, f *feed) error {
	began := time.Now()
	f.mu.Lock()
	f.asked = began
	f.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, baseTimeout)
	defer cancel()
	list, err := f.leases.List(limited, metav1.ListOptions{LabelSelector: f.selector})
	if err != nil {
		return fmt.Errorf("list leases of %s: %w", f.what, err)
	}
	if f == r.ownFeed {
		r.readUnlisted(list, r.state.Owned)
	}
	missed := r.missed(f, list)
	if len(missed) == 0 {
		f.hear()
		return nil
	}
	if !pause(ctx, lookEvery) || f.heardSince(began) {
		return nil
	}
	for _, lease := range missed {
		f.see(lease)
	}
	if f.restart(time.Now()) {
		r.log.Warn("a watch shows nothing of what changes; it is begun anew, and leases are listed meanwhile",
			zap.String("of", f.what), zap.Int("missed", len(missed)))
	}
	return nil
}

// missed gives the Leases of a list that are newer than what is known of them.
func (r *Replica) missed(f *feed, list *coordinationv1.LeaseList) (missed []*coordinationv1.Lease) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for i := range list.Items {
		lease := &list.Items[i]
		lease.ManagedFields = nil
		if known := f.known[lease.Name]; known == nil || revision(known.ResourceVersion) < revision(lease.ResourceVersion) {
			missed = append(missed, lease)
		}
	}
	return missed
}

// tellStalled has the others told whether the watch of our own bases stalls.
func (r *Replica) tellStalled() {
	stalled := r.ownFeed.isStalled()
	r.mu.Lock()
	changed := r.self.blind != stalled
	r.self.blind = stalled
	r.mu.Unlock()
	if changed {
		r.writeNow()
	}
}
