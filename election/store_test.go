package election

import (
	"context"
	"errors"
	"fmt"
	"maps"
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
	"k8s.io/utils/ptr"
)

// store is an API server that has Leases only: resource versions, conflicts,
// watches. Only the simulation uses it; what the real one does is tested against
// the real one.
type store struct {
	// judges are told of each change that a replica makes: what was there before and
	// what is now, nil for nothing. They may not use the store.
	judges []func(was, is *coordinationv1.Lease)

	mu sync.Mutex
	// mu guards what follows
	leases    map[string]*coordinationv1.Lease // by namespace/name
	written   map[string]time.Time             // what was there once, and when it changed last
	changes   []change                         // the last ones, as a watch may resume from them
	version   int
	fell      []error        // renew times that went backwards
	wrote     map[string]int // how often, by namespace
	conflicts int            // writes that were refused because what they were decided on was old
	watchers  map[*watcher]bool
}

func newStore() *store {
	return &store{
		leases: map[string]*coordinationv1.Lease{}, written: map[string]time.Time{}, wrote: map[string]int{}, version: 100, watchers: map[*watcher]bool{},
	}
}

// change is what one write made of a Lease: nil for what was not there before, or is not now.
type change struct {
	at      time.Time
	version int
	was, is *coordinationv1.Lease
}

// shown is the event by which a watch shows a change, as the API server has it: what enters a
// selector is added, and what leaves it is deleted, as it was before, with the version of the
// change.
func (c change) shown(w *watcher) (e watch.Event, ok bool) {
	before, after := c.was != nil && w.matches(c.was), c.is != nil && w.matches(c.is)
	switch {
	case before && after:
		return watch.Event{Type: watch.Modified, Object: c.is.DeepCopy()}, true
	case after:
		return watch.Event{Type: watch.Added, Object: c.is.DeepCopy()}, true
	case before:
		last := c.was.DeepCopy()
		last.ResourceVersion = strconv.Itoa(c.version)
		return watch.Event{Type: watch.Deleted, Object: last}, true
	}
	return watch.Event{}, false
}

var resource = coordinationv1.Resource("leases")

// put writes a Lease; the caller holds mu.
func (s *store) put(l *coordinationv1.Lease, kind watch.EventType) *coordinationv1.Lease {
	s.version++
	l = l.DeepCopy()
	l.ResourceVersion = strconv.Itoa(s.version)
	key := l.Namespace + "/" + l.Name
	was := s.leases[key]
	if was != nil && l.Spec.RenewTime.Before(was.Spec.RenewTime) {
		s.fell = append(s.fell, fmt.Errorf("%s: the renew time falls from %s to %s", key, was.Spec.RenewTime, l.Spec.RenewTime))
	}
	made := change{at: time.Now(), version: s.version, was: was}
	s.written[key] = made.at
	s.wrote[l.Namespace]++
	if kind == watch.Deleted {
		delete(s.leases, key)
	} else {
		s.leases[key], made.is = l, l
	}
	if s.changes = append(s.changes, made); len(s.changes) > 2*maxHistory {
		s.changes = slices.Clone(s.changes[maxHistory:])
	}
	for w := range s.watchers {
		if e, ok := made.shown(w); ok {
			w.deliver(made.at, e)
		}
	}
	return l.DeepCopy()
}

// write is put by a replica.
func (s *store) write(l *coordinationv1.Lease, kind watch.EventType) *coordinationv1.Lease {
	is := l
	if kind == watch.Deleted {
		is = nil
	}
	for _, judge := range s.judges {
		judge(s.leases[l.Namespace+"/"+l.Name], is)
	}
	return s.put(l, kind)
}

// remove deletes a Lease as a person would, and gives it; nil where there is none.
func (s *store) remove(key string) *coordinationv1.Lease {
	s.mu.Lock()
	defer s.mu.Unlock()
	l := s.leases[key]
	if l != nil {
		s.put(l, watch.Deleted)
	}
	return l
}

// putBack makes a Lease as it was, as a person would, unless there is one.
func (s *store) putBack(l *coordinationv1.Lease) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leases[l.Namespace+"/"+l.Name] == nil {
		s.put(l, watch.Added)
	}
}

// edit changes a Lease as a person or another controller would, unless change says no
// or there is none. It says whether it did.
func (s *store) edit(key string, change func(l *coordinationv1.Lease) bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.leases[key] == nil {
		return false
	}
	l := s.leases[key].DeepCopy()
	if !change(l) {
		return false
	}
	s.put(l, watch.Modified)
	return true
}

// restore sets the store back to older resource versions, as a restored backup does.
func (s *store) restore(by int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version -= by
	s.changes = nil
	for _, l := range s.leases {
		version, _ := strconv.Atoi(l.ResourceVersion)
		l.ResourceVersion = strconv.Itoa(version - by)
	}
}

// compact makes all that was listed until now too old to be watched from, and gives
// the first resource version that is not.
func (s *store) compact() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.version++
	return s.version
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

// writes is how many writes of Leases of a namespace there were.
func (s *store) writes(namespace string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.wrote[namespace]
}

// holder gives who holds a Lease, and when it was written last.
func (s *store) holder(key string) (holder string, written time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return holderOf(s.leases[key]), s.written[key]
}

func holderOf(l *coordinationv1.Lease) string {
	if l == nil {
		return ""
	}
	return ptr.Deref(l.Spec.HolderIdentity, "")
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

// maxHistory is after how many writes a list is too old to be watched from.
const maxHistory = 200

// since has a watch that begins at a resource version be told first what changed since, in
// order; the caller holds mu.
func (s *store) since(version int, w *watcher) {
	for _, c := range s.changes {
		if c.version <= version {
			continue
		}
		if e, ok := c.shown(w); ok {
			w.deliver(c.at, e)
		}
	}
}

// asOf gives the Leases as an API server has them that is behind, and their version: as they
// were at a time, not older than a version, and as far back as is remembered. The caller holds
// mu.
func (s *store) asOf(at time.Time, atLeast int) (all map[string]*coordinationv1.Lease, version int) {
	all, version = maps.Clone(s.leases), s.version
	for _, c := range slices.Backward(s.changes) {
		if !c.at.After(at) || c.version <= atLeast {
			break
		}
		version = c.version - 1
		if c.was == nil {
			delete(all, c.is.Namespace+"/"+c.is.Name)
			continue
		}
		all[c.was.Namespace+"/"+c.was.Name] = c.was
	}
	return all, version
}

func leaseOf(e watch.Event) *coordinationv1.Lease { return e.Object.(*coordinationv1.Lease) }

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
		return s.write(made, watch.Added), nil
	})
}

func (i leasesIn) Update(ctx context.Context, lease *coordinationv1.Lease, _ metav1.UpdateOptions) (*coordinationv1.Lease, error) {
	return i.link.request(ctx, true, func(s *store) (*coordinationv1.Lease, error) {
		was := s.leases[i.namespace+"/"+lease.Name]
		if was == nil {
			return nil, apierrors.NewNotFound(resource, lease.Name)
		}
		if lease.ResourceVersion != "" && was.ResourceVersion != lease.ResourceVersion {
			s.conflicts++
			return nil, apierrors.NewConflict(resource, lease.Name, errors.New("it was changed"))
		}
		return s.write(lease, watch.Modified), nil
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
		return s.write(was, watch.Deleted), nil
	})
	return err
}

func (i leasesIn) Get(ctx context.Context, name string, _ metav1.GetOptions) (*coordinationv1.Lease, error) {
	return i.link.request(ctx, false, func(s *store) (*coordinationv1.Lease, error) {
		key := i.namespace + "/" + name
		if l := s.leases[key]; l != nil {
			i.link.looked(key, l, s.written[key])
			return l.DeepCopy(), nil
		}
		return nil, apierrors.NewNotFound(resource, name)
	})
}

// List is given up after a while, as one on a connection that leads nowhere is.
func (i leasesIn) List(ctx context.Context, o metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	selector, err := labels.Parse(o.LabelSelector)
	if err != nil {
		return nil, err
	}
	limited, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	list := &coordinationv1.LeaseList{}
	behind := i.link.behindBy()
	if o.ResourceVersion == "" { // it is asked of etcd
		behind = 0
	}
	_, err = i.link.request(limited, false, func(s *store) (*coordinationv1.Lease, error) {
		atLeast, _ := strconv.Atoi(o.ResourceVersion)
		all, version := s.asOf(time.Now().Add(-behind), atLeast)
		for key, l := range all {
			if strings.HasPrefix(key, i.namespace+"/") && selector.Matches(labels.Set(l.Labels)) {
				list.Items = append(list.Items, *l.DeepCopy())
			}
		}
		list.ResourceVersion = strconv.Itoa(version)
		i.link.listed(len(list.Items))
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
	version, _ := strconv.Atoi(o.ResourceVersion)
	return i.link.watch(ctx, version, &watcher{namespace: i.namespace, selector: selector})
}
