package rewatch

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/tools/cache"

	_ "module-controller/internal/oneproc"
)

// server gives watches, and is asked for them.
type server struct {
	mu sync.Mutex
	// mu guards what follows
	asked []metav1.ListOptions
	at    []time.Time
	given []*watch.FakeWatcher
	err   error
}

func (s *server) watch(_ context.Context, o metav1.ListOptions) (watch.Interface, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked, s.at = append(s.asked, o), append(s.at, time.Now())
	if s.err != nil {
		return nil, s.err
	}
	w := watch.NewFakeWithChanSize(10, false)
	s.given = append(s.given, w)
	return w, nil
}

// last is the watch that was given last.
func (s *server) last() *watch.FakeWatcher {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.given[len(s.given)-1]
}

// watches is how many watches were given.
func (s *server) watches() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.given)
}

// fails has watches refused; nil ends that.
func (s *server) fails(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// requests are what was asked for so far, and when.
func (s *server) requests() (asked []metav1.ListOptions, at []time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.asked), slices.Clone(s.at)
}

// shown is what a watch showed.
type shown struct {
	mu   sync.Mutex
	seen []string // mu guards it
}

func (s *shown) add(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seen = append(s.seen, what)
}

func (s *shown) all() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func pod(version string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "p", ResourceVersion: version}}
}

// begin begins a resumed watch, and reads all that it shows.
func begin(t *testing.T, s *server, o metav1.ListOptions) (w watch.Interface, seen *shown) {
	t.Helper()
	w, err := Resumed(s.watch)(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	seen = &shown{}
	go func() {
		for e := range w.ResultChan() {
			if p, ok := e.Object.(*corev1.Pod); ok {
				seen.add(string(e.Type) + " " + p.ResourceVersion)
			} else {
				seen.add(string(e.Type))
			}
		}
		seen.add("end")
	}()
	return w, seen
}

func passes(d time.Duration) {
	<-time.After(d)
	synctest.Wait()
}

// A watch that is cut goes on from what it showed last, and nobody who reads it notices.
func TestAWatchThatIsCutGoesOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		timeout := int64(300)
		w, seen := begin(t, s, metav1.ListOptions{ResourceVersion: "5", LabelSelector: "a=b", TimeoutSeconds: &timeout})
		for n := range 100 {
			s.last().Modify(pod(fmt.Sprint(10 + n)))
			passes(time.Millisecond)
			s.last().Stop()
			passes(time.Second)
		}
		asked, at := s.requests()
		if n := len(seen.all()); n != 100 || len(asked) != 101 {
			t.Fatalf("%d events, %d watches", n, len(asked))
		}
		for n, o := range asked[1:] {
			if o.ResourceVersion != fmt.Sprint(10+n) || o.LabelSelector != "a=b" || *o.TimeoutSeconds != timeout {
				t.Errorf("watch %d begins with %+v", n, o)
			}
			if late := at[n+1].Sub(at[n]) - time.Millisecond; late > time.Second+2*pauseFirst {
				t.Errorf("watch %d begins %s after the one before", n, late)
			}
		}
		w.Stop()
		passes(0)
		all := seen.all()
		if got := all[len(all)-1]; got != "end" {
			t.Errorf("it was stopped, and shows %s", got)
		}
	})
}

// While watches end at once and show nothing, the pause grows to its bound; one that shows
// something, or lasts, ends that.
func TestPausesGrowWhileNothingIsShown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		w, _ := begin(t, s, metav1.ListOptions{ResourceVersion: "5"})
		defer w.Stop()
		for range 12 {
			before := s.watches()
			s.last().Stop()
			for s.watches() == before {
				passes(10 * time.Millisecond)
			}
		}
		_, at := s.requests()
		n := len(at)
		if first, last := at[1].Sub(at[0]), at[n-1].Sub(at[n-2]); first > 3*pauseFirst || last < pauseMax/2 || last > 2*pauseMax {
			t.Errorf("the first pause is %s, the last %s", first, last)
		}
		s.last().Modify(pod("9"))
		passes(time.Millisecond)
		s.last().Stop()
		passes(2 * pauseFirst)
		if s.watches() != n+1 {
			t.Error("it showed something, and is not resumed at once")
		}
		passes(time.Minute)
		s.last().Stop()
		passes(2 * pauseFirst)
		if s.watches() != n+2 {
			t.Error("it lasted a minute, and is not resumed at once")
		}
	})
}

// What listing anew may cure is passed on; what passes by itself is waited for.
func TestWhichErrorsEndAWatch(t *testing.T) {
	for _, c := range []struct {
		name string
		err  error
		ends bool
	}{
		{"the version is gone", apierrors.NewResourceExpired("too old"), true},
		{"it is forbidden", apierrors.NewForbidden(corev1.Resource("pods"), "", errors.New("no")), true},
		{"too many requests", apierrors.NewTooManyRequests("later", 1), false},
		{"the server is away", errors.New("connection refused"), false},
		{"the server fails", apierrors.NewInternalError(errors.New("no")), false},
		{"the server starts", apierrors.NewServiceUnavailable("not yet"), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{}
			w, seen := begin(t, s, metav1.ListOptions{ResourceVersion: "5"})
			defer w.Stop()
			s.fails(c.err)
			s.last().Stop()
			passes(time.Minute)
			if all := seen.all(); (len(all) == 2 && all[0] == "ERROR") != c.ends {
				t.Errorf("%s: it showed %v", c.name, all)
			}
			s.fails(nil)
			passes(2 * pauseMax)
			if goesOn := s.watches() == 2; goesOn == c.ends {
				t.Errorf("%s: it goes on: %v", c.name, goesOn)
			}
		})
	}
}

// An error that a watch shows is the last that is heard of it.
func TestAnErrorOfAWatchEndsIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		_, seen := begin(t, s, metav1.ListOptions{ResourceVersion: "5"})
		s.last().Error(&metav1.Status{Reason: metav1.StatusReasonExpired})
		passes(time.Minute)
		if all := seen.all(); len(all) != 2 || all[0] != "ERROR" || s.watches() != 1 {
			t.Errorf("it showed %v, and %d watches were begun", all, s.watches())
		}
	})
}

// While the objects that were there are shown, there is no version to go on from: the one
// who reads has to begin anew.
func TestAWatchThatIsCutBeforeAllIsShownEnds(t *testing.T) {
	yes := true
	for name, c := range map[string]struct {
		options metav1.ListOptions
		all     bool // is shown before the cut
		ends    bool
	}{
		"streamed, half":  {metav1.ListOptions{SendInitialEvents: &yes}, false, true},
		"streamed, whole": {metav1.ListOptions{SendInitialEvents: &yes}, true, false},
		"from anywhere":   {metav1.ListOptions{ResourceVersion: "0"}, false, true},
	} {
		synctest.Test(t, func(t *testing.T) {
			s := &server{}
			w, seen := begin(t, s, c.options)
			defer w.Stop()
			s.last().Add(pod("7"))
			if c.all {
				mark := pod("8")
				mark.Annotations = map[string]string{metav1.InitialEventsAnnotationKey: "true"}
				s.last().Action(watch.Bookmark, mark)
			}
			passes(time.Millisecond)
			s.last().Stop()
			passes(time.Minute)
			all := seen.all()
			if ended := all[len(all)-1] == "end"; ended != c.ends {
				t.Errorf("%s: it showed %v", name, all)
			}
			if asked, _ := s.requests(); !c.ends && (asked[1].ResourceVersion != "8" || asked[1].SendInitialEvents != nil) {
				t.Errorf("%s: it goes on with %+v", name, asked[1])
			}
		})
	}
}

// An informer whose watch is cut all the time lists once.
func TestAnInformerListsOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		var lists atomic.Int32
		lw := &cache.ListWatch{
			ListWithContextFunc: func(context.Context, metav1.ListOptions) (runtime.Object, error) {
				lists.Add(1)
				return &corev1.PodList{ListMeta: metav1.ListMeta{ResourceVersion: "5"}}, nil
			},
			WatchFuncWithContext: Resumed(s.watch),
		}
		i := cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, noStreams{}), &corev1.Pod{}, 0, cache.Indexers{})
		ctx, end := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() {
			i.RunWithContext(ctx)
			close(done)
		}()
		passes(time.Second)
		for range 60 {
			s.last().Stop()
			passes(time.Second)
		}
		s.last().Add(pod("9"))
		passes(time.Millisecond)
		if n := len(i.GetStore().List()); n != 1 || lists.Load() != 1 {
			t.Errorf("%d pods are known, after %d lists", n, lists.Load())
		}
		end()
		<-done
	})
}

// noStreams is a client that cannot list by a watch.
type noStreams struct{}

func (noStreams) IsWatchListSemanticsUnSupported() bool { return true }
