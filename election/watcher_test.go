package election

import (
	"context"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/watch"
)

// watcher is one watch; its events come in order, each after a delay.
type watcher struct {
	link      *link
	namespace string
	selector  labels.Selector
	out       chan watch.Event
	stop      context.CancelFunc
	wake      chan struct{}
	still     bool // it shows nothing any more; guarded by the link's mu

	mu      sync.Mutex
	pending []happened
}

// happened is an event, and when what it shows happened.
type happened struct {
	watch.Event
	at time.Time
}

func (w *watcher) matches(l *coordinationv1.Lease) bool {
	return l.Namespace == w.namespace && w.selector.Matches(labels.Set(l.Labels))
}

func (w *watcher) deliver(at time.Time, e watch.Event) {
	w.mu.Lock()
	w.pending = append(w.pending, happened{e, at})
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// delay is how long an event takes; shown is false for one that is never shown.
func (w *watcher) delay(e happened) (takes time.Duration, shown bool) {
	l, about := w.link, leaseOf(e.Event)
	l.mu.Lock()
	mute, hidden, lag, behind, gap := l.mute, l.hidden, l.lag, l.behind, l.gap
	l.mu.Unlock()
	if mute {
		return requestTimeout, true
	}
	return max(l.roll(lag), time.Until(e.at.Add(behind))), !gap && hidden != about.Namespace+"/"+about.Name
}

// stands says whether nothing is shown now.
func (w *watcher) stands() bool {
	w.link.mu.Lock()
	defer w.link.mu.Unlock()
	return w.link.still || w.still
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.out)
	for {
		w.mu.Lock()
		batch := w.pending
		w.pending = nil
		w.mu.Unlock()
		for _, e := range batch {
			if !w.bring(ctx, e) {
				return
			}
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-w.wake:
		case <-ctx.Done():
			return
		}
	}
}

// bring brings one event, and says whether the watch goes on.
func (w *watcher) bring(ctx context.Context, e happened) bool {
	takes, shown := w.delay(e)
	if !pause(ctx, takes) {
		return false
	}
	for w.stands() {
		if !pause(ctx, 100*time.Millisecond) {
			return false
		}
	}
	w.link.process.wait()
	if !shown {
		return true
	}
	select {
	case w.out <- e.Event:
		w.link.shown.Add(1)
		return true
	case <-ctx.Done():
		return false
	}
}

func (w *watcher) Stop()                          { w.stop() }
func (w *watcher) ResultChan() <-chan watch.Event { return w.out }
