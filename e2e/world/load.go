package world

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/history"
)

// Undisturbed puts the World under load: pods come and go. The check that it gives ends
// the load and fails the test where somebody noticed what happened meanwhile: where the
// history breaks a rule (a Node turned NotReady, a module was installed or uninstalled
// again, a command came late), or the readiness of the pods that stayed changed. What
// happens is to be noted with w.Recorder.Fault.
func (w *World) Undisturbed(bases int) (check func()) {
	w.Helper()
	const loaders = 4
	ready := ReadySince(w.Pods("app=stock"))
	w.Recorder = w.Record()
	stop := w.Recorder.Load(loaders, bases, w.Errorf)
	w.Cleanup(stop)
	return func() {
		w.Helper()
		stop()
		w.AwaitListed()
		w.Log(w.Recorder.KeptRules())
		for uid, since := range ReadySince(w.Pods("app=stock")) {
			if ready[uid] != since {
				w.Errorf("pod %s: ready since %s, was %s", uid, since, ready[uid])
			}
		}
	}
}

// enough is how long anything that the load waits for may take, whatever happens.
const enough = 3 * time.Minute

// Load has pods come and go, so many at a time, until it is stopped or the test ends.
// They are of the kinds in turn; by default all are Bare. It calls complain for each pod
// that does not.
func (r *Recorder) Load(loaders, bases int, complain func(format string, args ...any), kinds ...Kind) (stop func()) {
	if len(kinds) == 0 {
		kinds = []Kind{Bare}
	}
	return r.again(loaders, func() { r.comeAndGo(bases, kinds, complain) })
}

// again has so many goroutines do something again and again, until it is stopped or the
// test ends.
func (r *Recorder) again(times int, do func()) (stop func()) {
	var over atomic.Bool
	var load sync.WaitGroup
	for range times {
		load.Go(func() {
			for !over.Load() && r.Context().Err() == nil {
				do()
			}
		})
	}
	return func() {
		over.Store(true)
		load.Wait()
	}
}

// comeAndGo creates a pod, waits until it is Ready, deletes it and waits until it is
// gone.
func (r *Recorder) comeAndGo(bases int, kinds []Kind, complain func(format string, args ...any)) {
	n := int(r.loadPods.Add(1))
	name, base, kind := fmt.Sprintf("l%d", n), BaseID(1+n%bases), kinds[n%len(kinds)]
	change := kind.of(r, name, n)
	r.count(kind.Name)
	var uid types.UID
	r.insist(enough, func() error {
		p, err := r.TryCreatePod(name, base, name, "1.0.0", Jar(name, "1.0.0"), change)
		if apierrors.IsAlreadyExists(err) { // the answer was lost
			p, err = r.GetPod(name)
		}
		if err == nil {
			uid = p.UID
		}
		return err
	})
	if !r.AwaitPod(uid, enough, func(p history.Pod) bool { return !p.Ready.IsZero() }) {
		complain("pod %s on %s is not Ready after %s", name, base, enough)
	}
	r.insist(enough, func() error {
		return IgnoreNotFound(r.cluster.Client.CoreV1().Pods(r.Env).Delete(r.Context(), name, metav1.DeleteOptions{}))
	})
	if !r.AwaitPod(uid, enough, func(p history.Pod) bool { return !p.Gone.IsZero() }) {
		complain("pod %s on %s is not gone after %s", name, base, enough)
	}
}

// count notes that there is one more of something.
func (r *Recorder) count(what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.made[what]++
}

// Made gives what the load was so far, by kind.
func (r *Recorder) Made() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.made)
}

// insist tries until it works.
func (r *Recorder) insist(within time.Duration, do func() error) {
	over := time.Now().Add(within)
	for {
		err := do()
		if err == nil || errors.Is(r.Context().Err(), context.Canceled) {
			return
		}
		if time.Now().After(over) {
			r.Error(err)
			return
		}
		<-time.After(200 * time.Millisecond)
	}
}
