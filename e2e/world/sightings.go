package world

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/tools/cache"
)

// Sightings notes when Nodes or pods were seen to be Ready, and when they were gone, each
// under its name. It is one watch and little memory, whatever their number, and judges
// nothing: see Recorder for that. It may be used from any goroutine.
type Sightings struct {
	api *API

	mu   sync.Mutex // mu guards what follows
	of   map[string]*sighting
	lost []string // each loss of readiness, with when it was seen
}

// Sighting is when one object was first seen to be something; zero: never.
type Sighting struct{ Ready, Gone time.Time }

type sighting struct {
	Sighting
	is                  bool          // Ready now
	whenReady, whenGone chan struct{} // closed when it was first seen so
}

// SeeNodes begins to watch the Nodes that carry a label, or all for "". The test's end ends
// it.
func (a *API) SeeNodes(selector string) *Sightings {
	a.Helper()
	s, factory, ctx := a.newSightings("", selector)
	i := factory.Core().V1().Nodes().Informer()
	a.Must(i.SetTransform(slimNode))
	s.run(ctx, factory, handle(a.TB, i, func(n *corev1.Node, deleted bool) { s.see(n.Name, NodeReady(*n), deleted) }))
	return s
}

// SeePods begins to watch the World's pods that carry a label, or all for "". The test's end
// ends it.
func (a *API) SeePods(selector string) *Sightings {
	a.Helper()
	s, factory, ctx := a.newSightings(a.Env, selector)
	i := factory.Core().V1().Pods().Informer()
	a.Must(i.SetTransform(slimPod))
	s.run(ctx, factory, handle(a.TB, i, func(p *corev1.Pod, deleted bool) { s.see(p.Name, PodReady(*p), deleted) }))
	return s
}

func (a *API) newSightings(namespace, selector string) (*Sightings, informers.SharedInformerFactory, context.Context) {
	s := &Sightings{api: a, of: map[string]*sighting{}}
	factory := informers.NewSharedInformerFactoryWithOptions(a.cluster.Client, 0, informers.WithNamespace(namespace),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) { o.LabelSelector = selector }))
	ctx, end := context.WithCancel(a.Context())
	a.Cleanup(func() { end(); factory.Shutdown() })
	return s, factory, ctx
}

// run starts the watch, and returns when it shows what there is.
func (s *Sightings) run(ctx context.Context, factory informers.SharedInformerFactory, synced cache.InformerSynced) {
	s.api.Helper()
	factory.Start(ctx.Done())
	if !cache.WaitForCacheSync(ctx.Done(), synced) {
		s.api.Fatal("the watch showed nothing")
	}
}

// slimNode keeps what is looked at.
func slimNode(obj any) (any, error) {
	if n, ok := obj.(*corev1.Node); ok {
		return &corev1.Node{ObjectMeta: slimMeta(n.ObjectMeta), Status: corev1.NodeStatus{Conditions: n.Status.Conditions}}, nil
	}
	return obj, nil
}

// slimPod keeps what is looked at.
func slimPod(obj any) (any, error) {
	if p, ok := obj.(*corev1.Pod); ok {
		return &corev1.Pod{ObjectMeta: slimMeta(p.ObjectMeta), Status: corev1.PodStatus{Conditions: p.Status.Conditions}}, nil
	}
	return obj, nil
}

// slimMeta keeps what an informer needs.
func slimMeta(m metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{Name: m.Name, Namespace: m.Namespace, UID: m.UID, ResourceVersion: m.ResourceVersion}
}

func (s *Sightings) see(name string, ready, deleted bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	is, now := s.sighting(name), time.Now()
	note := func(happened bool, when *time.Time, closes chan struct{}) {
		if happened && when.IsZero() {
			*when = now
			close(closes)
		}
	}
	if is.is && !ready && !deleted {
		s.lost = append(s.lost, name+" at "+now.Format(time.StampMilli))
	}
	is.is = ready && !deleted
	note(is.is, &is.Ready, is.whenReady)
	note(deleted, &is.Gone, is.whenGone)
}

// sighting gives what was seen of an object. The caller holds mu.
func (s *Sightings) sighting(name string) *sighting {
	is := s.of[name]
	if is == nil {
		is = &sighting{whenReady: make(chan struct{}), whenGone: make(chan struct{})}
		s.of[name] = is
	}
	return is
}

// WhenReady is closed when an object was first seen Ready.
func (s *Sightings) WhenReady(name string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sighting(name).whenReady
}

// WhenGone is closed when an object was seen to be deleted.
func (s *Sightings) WhenGone(name string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sighting(name).whenGone
}

// Of gives what was seen of an object.
func (s *Sightings) Of(name string) Sighting {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sighting(name).Sighting
}

// Lost tells each time that an object which had been Ready was seen not to be.
func (s *Sightings) Lost() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.lost)
}

// AwaitReady waits until so many objects are Ready at once, and gives when the last of them
// was first seen so.
func (s *Sightings) AwaitReady(within time.Duration, want int) time.Time {
	s.api.Helper()
	return s.await(within, want, "Ready", func(is *sighting) (time.Time, bool) { return is.Ready, is.is })
}

// AwaitGone waits until so many objects were seen to be deleted, and gives when the last of
// them was.
func (s *Sightings) AwaitGone(within time.Duration, want int) time.Time {
	s.api.Helper()
	return s.await(within, want, "gone", func(is *sighting) (time.Time, bool) { return is.Gone, !is.Gone.IsZero() })
}

func (s *Sightings) await(within time.Duration, want int, what string, counts func(*sighting) (time.Time, bool)) (last time.Time) {
	s.api.Helper()
	s.api.Eventually(within, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		n := 0
		last = time.Time{}
		for is := range maps.Values(s.of) {
			if at, does := counts(is); does {
				n++
				last = later(last, at)
			}
		}
		if n != want {
			return fmt.Errorf("%d are %s, want %d", n, what, want)
		}
		return nil
	})
	return last
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
