package suite

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/history"
)

// load has pods come and go, so many at a time, until it is stopped or the test ends.
// Complain is told of pods that do not.
func (r *recorder) load(loaders, bases int, complain func(format string, args ...any)) (stop func()) {
	var over atomic.Bool
	var load sync.WaitGroup
	for range loaders {
		load.Go(func() {
			for !over.Load() && r.Context().Err() == nil {
				r.comeAndGo(bases, complain)
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
func (r *recorder) comeAndGo(bases int, complain func(format string, args ...any)) {
	const enough = 3 * time.Minute
	n := int(r.loaded.Add(1))
	name, base := fmt.Sprintf("l%d", n), fmt.Sprintf("base-%04d", 1+n%bases)
	var uid types.UID
	r.insist(enough, func() error {
		p, err := r.createPod(name, base, name, "1.0.0", jar(name, "1.0.0"))
		if apierrors.IsAlreadyExists(err) { // the answer was lost
			p, err = r.get(name)
		}
		if err == nil {
			uid = p.UID
		}
		return err
	})
	if !r.until(uid, enough, func(p history.Pod) bool { return !p.Ready.IsZero() }) {
		complain("pod %s on %s is not Ready after %s", name, base, enough)
	}
	r.insist(enough, func() error {
		return ignoreNotFound(client.CoreV1().Pods(r.env).Delete(r.Context(), name, metav1.DeleteOptions{}))
	})
	if !r.until(uid, enough, func(p history.Pod) bool { return !p.Gone.IsZero() }) {
		complain("pod %s on %s is not gone after %s", name, base, enough)
	}
}

// insist tries until it works.
func (r *recorder) insist(within time.Duration, do func() error) {
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

func ignoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
