package world

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Rated is a load of pods that come and go at a rate, however long each takes: one that is
// late makes no other wait. It may be used from any goroutine.
type Rated struct {
	w    *World
	seen *Sightings
	stop func()

	mu   sync.Mutex // mu guards what follows
	made int
	took []lasted
}

// lasted is how long a pod took from the answer to its creation until it was seen Ready.
type lasted struct{ bound, ready time.Time }

// Latency is how long pods took from bound to Ready.
type Latency struct {
	Pods          int
	P50, P99, Max time.Duration
}

func (l Latency) String() string {
	return fmt.Sprintf("%d pods, bound to Ready p50 %s, p99 %s, at most %s", l.Pods, l.P50, l.P99, l.Max)
}

// ComeAndGo has so many pods a second come to the bases in turn, past the scheduler, each
// with a module of its own. Each is deleted once it is Ready. It goes on until it is stopped
// or the test ends.
func (w *World) ComeAndGo(seen *Sightings, bases, perSecond int) *Rated {
	ctx, end := context.WithCancel(w.Context())
	r := &Rated{w: w, seen: seen}
	var work sync.WaitGroup
	work.Go(func() {
		tick := time.NewTicker(time.Second / time.Duration(perSecond))
		defer tick.Stop()
		for n := 0; ; n++ {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
				work.Go(func() { r.one(n, bases) }) //nolint:contextcheck // a World has its own
			}
		}
	})
	r.stop = func() { end(); work.Wait() }
	w.Cleanup(r.stop)
	return r
}

// one is the life of one pod.
func (r *Rated) one(n, bases int) {
	name := fmt.Sprintf("r%d", n)
	r.mu.Lock()
	r.made++
	r.mu.Unlock()
	if _, err := r.w.TryCreatePod(name, BaseID(1+n%bases), name, "1.0.0", Jar(name, "1.0.0")); err != nil {
		r.fail(err)
		return
	}
	bound := time.Now()
	if !r.within(r.seen.WhenReady(name)) {
		r.fail(fmt.Errorf("pod %s is not Ready after %s", name, enough))
		return
	}
	r.mu.Lock()
	r.took = append(r.took, lasted{bound, r.seen.Of(name).Ready})
	r.mu.Unlock()
	if err := r.w.cluster.Client.CoreV1().Pods(r.w.Env).Delete(r.w.Context(), name, metav1.DeleteOptions{}); err != nil {
		r.fail(err)
		return
	}
	if !r.within(r.seen.WhenGone(name)) {
		r.fail(fmt.Errorf("pod %s is not gone after %s", name, enough))
	}
}

// fail fails the test, unless it has ended.
func (r *Rated) fail(err error) {
	if r.w.Context().Err() == nil {
		r.w.Error(err)
	}
}

func (r *Rated) within(happens <-chan struct{}) bool {
	timer := time.NewTimer(enough)
	defer timer.Stop()
	select {
	case <-happens:
		return true
	case <-timer.C:
		return false
	case <-r.w.Context().Done():
		return true
	}
}

// Stop ends the load, waits until the last pod is gone, and gives how many there were.
func (r *Rated) Stop() (pods int) {
	r.stop()
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.made
}

// Between gives how long the pods took that were bound in a time and are Ready by now.
func (r *Rated) Between(from, to time.Time) Latency {
	r.mu.Lock()
	defer r.mu.Unlock()
	var all []time.Duration
	for _, l := range r.took {
		if !l.bound.Before(from) && l.bound.Before(to) {
			all = append(all, max(0, l.ready.Sub(l.bound))) // it may be seen before the answer comes
		}
	}
	if len(all) == 0 {
		return Latency{}
	}
	slices.SortFunc(all, cmp.Compare)
	at := func(percent int) time.Duration { return all[len(all)*percent/100].Round(time.Millisecond) }
	return Latency{Pods: len(all), P50: at(50), P99: at(99), Max: all[len(all)-1].Round(time.Millisecond)}
}
