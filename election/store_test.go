package election

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"
)

// store is an API server that has Leases only: resource versions, conflicts,
// watches. Only the simulation uses it; what the real one does is tested against
// the real one.
type store struct {
	mu sync.Mutex
	// mu guards what follows
	leases   map[string]*coordinationv1.Lease // by namespace/name
	written  map[string]time.Time             // what was there once, and when it changed last
	version  int
	fell     []error // renew times that went backwards
	watchers map[*watcher]bool
}

func newStore() *store {
	return &store{leases: map[string]*coordinationv1.Lease{}, written: map[string]time.Time{}, version: 100, watchers: map[*watcher]bool{}}
}

var resource = coordinationv1.Resource("leases")

// put writes a Lease; the caller holds mu.
func (s *store) put(l *coordinationv1.Lease, kind watch.EventType) *coordinationv1.Lease {
	s.version++
	l = l.DeepCopy()
	l.ResourceVersion = strconv.Itoa(s.version)
	key := l.Namespace + "/" + l.Name
	if was := s.leases[key]; was != nil && l.Spec.RenewTime.Before(was.Spec.RenewTime) {
		s.fell = append(s.fell, fmt.Errorf("%s: the renew time falls from %s to %s", key, was.Spec.RenewTime, l.Spec.RenewTime))
	}
	s.written[key] = time.Now()
	if kind == watch.Deleted {
		delete(s.leases, key)
	} else {
		s.leases[key] = l
	}
	for w := range s.watchers {
		if w.matches(l) {
			w.deliver(watch.Event{Type: kind, Object: l.DeepCopy()})
		}
	}
	return l.DeepCopy()
}

// remove deletes a Lease as a person would.
func (s *store) remove(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.leases[key]; l != nil {
		s.put(l, watch.Deleted)
	}
}

// restore sets the store back to older resource versions, as a restored backup does.
func (s *store) restore(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version -= by
	for _, l := range s.leases {
		version, _ := strconv.Atoi(l.ResourceVersion)
		l.ResourceVersion = strconv.Itoa(version - by)
	}
}

// backwards says which renew times fell.
func (s *store) backwards() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.fell...)
}

// had says whether there was such a Lease once.
func (s *store) had(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.written[key].IsZero()
}

func (s *store) snapshot(namespace string) []*coordinationv1.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []*coordinationv1.Lease
	for key, l := range s.leases {
		if strings.HasPrefix(key, namespace+"/") {
			all = append(all, l.DeepCopy())
		}
	}
	return all
}

// watcher is one watch; its events come in order, each after a delay.
type watcher struct {
	namespace string
	selector  labels.Selector
	delay     func() time.Duration
	out       chan watch.Event
	stop      context.CancelFunc
	wake      chan struct{}

	mu      sync.Mutex
	pending []watch.Event
}

func (w *watcher) matches(l *coordinationv1.Lease) bool {
	return l.Namespace == w.namespace && w.selector.Matches(labels.Set(l.Labels))
}

func (w *watcher) deliver(e watch.Event) {
	w.mu.Lock()
	w.pending = append(w.pending, e)
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *watcher) run(ctx context.Context) {
	defer close(w.out)
	for {
		w.mu.Lock()
		batch := w.pending
		w.pending = nil
		w.mu.Unlock()
		for _, e := range batch {
			if !pause(ctx, w.delay()) {
				return
			}
			select {
			case w.out <- e:
			case <-ctx.Done():
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

func (w *watcher) Stop()                          { w.stop() }
func (w *watcher) ResultChan() <-chan watch.Event { return w.out }

// link is one replica's way to the store: slow, cut, or losing answers.
type link struct {
	store *store
	// valid is asked before a write leaves, as the transport does; nil for the
	// membership's own.
	valid func() bool

	mu sync.Mutex
	// mu guards what follows
	rng      *rand.Rand
	cut      bool
	mute     bool          // requests are never answered, whatever their sender waits for
	latency  time.Duration // a request takes up to that, each way
	lag      time.Duration // a watch event takes up to that
	lose     float64       // the share of answers that are lost
	watchers []*watcher
}

func (l *link) set(change func(*link)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
	if l.cut {
		for _, w := range l.watchers {
			w.stop()
		}
		l.watchers = nil
	}
}

func (l *link) roll(most time.Duration) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return time.Duration(l.rng.Int64N(int64(most) + 1))
}

var errLost = errors.New("the answer was lost")

// requestTimeout ends requests that nobody else bounds.
const requestTimeout = 10 * time.Second

// way takes a request to the store or its answer back.
func (l *link) way(ctx context.Context) error {
	l.mu.Lock()
	cut, latency := l.cut, l.latency
	l.mu.Unlock()
	if cut {
		pause(ctx, requestTimeout)
		return context.DeadlineExceeded
	}
	if !pause(ctx, l.roll(latency)) {
		return ctx.Err()
	}
	return nil
}

// request does something at the store and brings the answer back, or loses it.
func (l *link) request(ctx context.Context, write bool, do func(s *store) (*coordinationv1.Lease, error)) (*coordinationv1.Lease, error) {
	l.mu.Lock()
	mute := l.mute
	l.mu.Unlock()
	if mute {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	if write && l.valid != nil && !l.valid() {
		return nil, errors.New("shut")
	}
	if err := l.way(ctx); err != nil {
		return nil, err
	}
	l.store.mu.Lock()
	lease, err := do(l.store)
	l.store.mu.Unlock()
	l.mu.Lock()
	lost := write && l.rng.Float64() < l.lose
	l.mu.Unlock()
	if lost {
		pause(ctx, requestTimeout)
		return nil, errLost
	}
	if wayErr := l.way(ctx); wayErr != nil {
		return nil, wayErr
	}
	return lease, err
}

func (l *link) Leases(namespace string) coordinationclient.LeaseInterface {
	return leasesIn{link: l, namespace: namespace}
}

type leasesIn struct {
	coordinationclient.LeaseInterface // what is not used
	link                              *link
	namespace                         string
}

func (i leasesIn) Create(ctx context.Context, lease *coordinationv1.Lease, _ metav1.CreateOptions) (*coordinationv1.Lease, error) {
	return i.link.request(ctx, true, func(s *store) (*coordinationv1.Lease, error) {
		if s.leases[i.namespace+"/"+lease.Name] != nil {
			return nil, apierrors.NewAlreadyExists(resource, lease.Name)
		}
		made := lease.DeepCopy()
		made.UID = types.UID(strconv.Itoa(s.version))
		return s.put(made, watch.Added), nil
	})
}

func (i leasesIn) Update(ctx context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return i.link.request(ctx, true, func(s *store) (*coordinationv1.Lease, error) {
		was := s.leases[i.namespace+"/"+lease.Name]
		if was == nil {
			return nil, apierrors.NewNotFound(resource, lease.Name)
		}
		if lease.ResourceVersion != "" && was.ResourceVersion != lease.ResourceVersion {
			return nil, apierrors.NewConflict(resource, lease.Name, errors.New("it was changed"))
		}
		return s.put(lease, watch.Modified), nil
	})
}

func (i leasesIn) Delete(ctx context.Context, name string, o metav1.DeleteOptions) error {
	_, err := i.link.request(ctx, true, func(s *store) (*coordinationv1.Lease, error) {
		was := s.leases[i.namespace+"/"+name]
		if was == nil {
			return nil, apierrors.NewNotFound(resource, name)
		}
		if p := o.Preconditions; p != nil && p.ResourceVersion != nil && *p.ResourceVersion != was.ResourceVersion {
			return nil, apierrors.NewConflict(resource, name, errors.New("it was changed"))
		}
		return s.put(was, watch.Deleted), nil
	})
	return err
}

func (i leasesIn) Get(ctx context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	return i.link.request(ctx, false, func(s *store) (*coordinationv1.Lease, error) {
		if l := s.leases[i.namespace+"/"+name]; l != nil {
			return l.DeepCopy(), nil
		}
		return nil, apierrors.NewNotFound(resource, name)
	})
}

func (i leasesIn) List(ctx context.Context, o metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	selector, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, err
	}
	list := &coordinationv1.LeaseList{}
	_, err = i.link.request(ctx, false, func(s *store) (*coordinationv1.Lease, error) {
		for key, l := range s.leases {
			if strings.HasPrefix(key, i.namespace+"/") && selector.Matches(labels.Set(l.Labels)) {
				list.Items = append(list.Items, *l.DeepCopy())
			}
		}
		list.ResourceVersion = strconv.Itoa(s.version)
		return nil, nil
	})
	slices.SortFunc(list.Items, func(a, b coordinationv1.Lease) int { return strings.Compare(a.Name, b.Name) })
	return list, err
}

func (i leasesIn) Watch(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
	if o.SendInitialEvents != nil {
		return nil, apierrors.NewBadRequest("list first")
	}
	selector, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, err
	}
	if err := i.link.way(ctx); err != nil {
		return nil, err
	}
	since, _ := strconv.Atoi(o.ResourceVersion)
	life, stop := context.WithCancel(ctx)
	w := &watcher{
		namespace: i.namespace, selector: selector, out: make(chan watch.Event), stop: stop, wake: make(chan struct{}, 1),
		delay: func() time.Duration {
			i.link.mu.Lock()
			lag := i.link.lag
			i.link.mu.Unlock()
			return i.link.roll(lag)
		},
	}
	s := i.link.store
	s.mu.Lock()
	defer s.mu.Unlock()
	// What changed since the list was made; what was deleted meanwhile is not known
	// any more, so the watch is refused and the list made anew.
	if s.version > since+maxHistory {
		stop()
		return nil, apierrors.NewResourceExpired("too old")
	}
	for _, l := range s.leases {
		if version, _ := strconv.Atoi(l.ResourceVersion); version > since && w.matches(l) {
			w.deliver(watch.Event{Type: watch.Modified, Object: l.DeepCopy()})
		}
	}
	s.watchers[w] = true
	context.AfterFunc(life, func() {
		s.mu.Lock()
		delete(s.watchers, w)
		s.mu.Unlock()
	})
	i.link.mu.Lock()
	i.link.watchers = append(i.link.watchers, w)
	i.link.mu.Unlock()
	go w.run(life)
	return w, nil
}

// maxHistory is after how many writes a list is too old to be watched from.
const maxHistory = 200
