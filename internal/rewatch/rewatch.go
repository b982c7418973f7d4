// Package rewatch has watches of the API server go on where they ended. The API server cuts
// watches at will: those that do not read fast enough, and all of them when it restarts. An
// informer by itself takes a watch that ended soon for a sign of trouble: it waits, longer
// each time, and lists everything anew. Here a watch is resumed from what it showed last,
// almost at once. Everything is listed anew only when the API server says that it does not
// know that version any more.
package rewatch

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"
)

const (
	// pauseFirst and pauseMax bound the pause before a watch is resumed. It doubles while
	// watches end without having shown anything, or cannot be begun.
	pauseFirst = 50 * time.Millisecond
	pauseMax   = 5 * time.Second
	// steady says how many pauses long a watch that shows nothing lasts at least to be sound.
	steady = 10
)

// Client is a typed client of one resource.
type Client[L runtime.Object] interface {
	List(context.Context, metav1.ListOptions) (L, error)
	Watch(context.Context, metav1.ListOptions) (watch.Interface, error)
}

// Of gives an informer what a resource's client lists and watches, resumed. Tweak says which
// objects. Whether they can be listed by a watch is the API client's to say, of which the
// resource's client is part.
func Of[L runtime.Object](api any, c Client[L], tweak func(*metav1.ListOptions)) cache.ListerWatcher {
	return cache.ToListWatcherWithWatchListSemantics(&cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			tweak(&o)
			return c.List(ctx, o)
		},
		WatchFuncWithContext: Resumed(func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			tweak(&o)
			return c.Watch(ctx, o)
		}),
	}, api)
}

// Resumed is a watch function whose watches go on until they are stopped, or the API server
// tells an error that listing anew may cure. What an informer makes of the errors of the
// first request is left to it.
func Resumed(begin cache.WatchFuncWithContext) cache.WatchFuncWithContext {
	return func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
		first, err := begin(ctx, o)
		if err != nil {
			return nil, err // as it is: the informer looks at it
		}
		ctx, stop := context.WithCancel(ctx)
		r := &resumed{begin: begin, options: o, out: make(chan watch.Event), stop: stop}
		if o.SendInitialEvents == nil && o.ResourceVersion != "0" {
			r.version = o.ResourceVersion
		}
		go r.run(ctx, first)
		return r, nil
	}
}

// resumed is a watch that goes on.
type resumed struct {
	begin   cache.WatchFuncWithContext
	options metav1.ListOptions
	out     chan watch.Event
	stop    context.CancelFunc
	// version is what was shown last, which a watch can go on from; empty while the objects
	// that were there are shown, in any order.
	version string
	pause   time.Duration // before the next one begins; zero while watches are sound
}

func (r *resumed) Stop()                          { r.stop() }
func (r *resumed) ResultChan() <-chan watch.Event { return r.out }

// run passes on what one watch after the other shows, until it is stopped or there is no
// going on.
func (r *resumed) run(ctx context.Context, w watch.Interface) {
	defer close(r.out)
	defer r.stop()
	for w != nil {
		began := time.Now()
		shown, over := r.pass(ctx, w)
		if over || r.version == "" {
			return
		}
		if shown || time.Since(began) >= steady*r.pause {
			r.pause = 0
		}
		w = r.again(ctx)
	}
}

// pass passes on what one watch shows until it ends. Over says that an error was passed on,
// or that nobody listens any more.
func (r *resumed) pass(ctx context.Context, w watch.Interface) (shown, over bool) {
	defer w.Stop()
	for {
		select {
		case <-ctx.Done():
			return shown, true
		case e, more := <-w.ResultChan():
			if !more {
				return shown, false
			}
			r.note(e)
			if !r.send(ctx, e) || e.Type == watch.Error {
				return shown, true
			}
			shown = true
		}
	}
}

// note keeps the version that an event shows, once all that was there is shown.
func (r *resumed) note(e watch.Event) {
	if e.Type == watch.Error {
		return
	}
	o, err := meta.Accessor(e.Object)
	switch {
	case err != nil:
	case r.version != "", e.Type == watch.Bookmark && o.GetAnnotations()[metav1.InitialEventsAnnotationKey] == "true":
		r.version = o.GetResourceVersion()
	}
}

func (r *resumed) send(ctx context.Context, e watch.Event) bool {
	select {
	case r.out <- e:
		return true
	case <-ctx.Done():
		return false
	}
}

// again begins the next watch, as often as it takes; nil where there is no going on.
func (r *resumed) again(ctx context.Context) watch.Interface {
	o := r.options
	o.ResourceVersion, o.ResourceVersionMatch, o.SendInitialEvents = r.version, "", nil
	for {
		r.pause = min(max(2*r.pause, pauseFirst), pauseMax)
		if !wait(ctx, r.pause) {
			return nil
		}
		w, err := r.begin(ctx, o)
		if err == nil {
			return w
		}
		if lasting := lastingError(err); lasting != nil {
			r.send(ctx, watch.Event{Type: watch.Error, Object: lasting})
			return nil
		}
	}
}

// wait waits for about a time; false says that ctx has ended.
func wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d/2 + rand.N(d))
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// lastingError is what the API server says of a request that asking again does not help;
// nil where it may.
func lastingError(err error) *metav1.Status {
	said, ok := errors.AsType[*apierrors.StatusError](err)
	switch {
	case !ok:
		return nil
	case apierrors.IsTooManyRequests(err), apierrors.IsServiceUnavailable(err), apierrors.IsInternalError(err),
		apierrors.IsTimeout(err), apierrors.IsServerTimeout(err), apierrors.IsUnexpectedServerError(err):
		return nil
	}
	status := said.Status()
	return &status
}
