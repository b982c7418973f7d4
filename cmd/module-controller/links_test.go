package main

import (
	"context"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

// linkWatchRuns is a watch of two tunnels that runs until end.
type linkWatchRuns struct {
	*linkWatch
	*testing.T
	linked atomic.Bool // what was told last
	ready  chan struct{}
	end    func()
}

func newRunningWatch(t *testing.T, also ...<-chan struct{}) *linkWatchRuns {
	t.Helper()
	w := &linkWatchRuns{T: t, ready: make(chan struct{})}
	w.linkWatch = newLinkWatch(&tunneltest.RecordingSink{}, 2, w.linked.Store)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.run(ctx, append(also, w.ready)...); err != nil {
			t.Error(err)
		}
	})
	w.end = func() { cancel(); running.Wait() }
	return w
}

// happens does something and sees whether the replica is linked then.
func (w *linkWatchRuns) happens(what string, want bool, do func()) {
	w.Helper()
	do()
	if synctest.Wait(); w.linked.Load() != want {
		w.Errorf("%s: linked %v", what, !want)
	}
}

func (w *linkWatchRuns) says(tunnelName string, up bool) func() {
	return func() { w.Link(tunnel.Link{Tunnel: tunnelName, Up: up}) }
}

// A replica is linked, so that others give it bases, when its tunnels are up and it can
// serve; and not any more when a tunnel was down for a while.
func TestWhoIsLinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		known := make(chan struct{})
		w := newRunningWatch(t, known)
		w.happens("one tunnel is up", false, w.says("a", true))
		w.happens("both are up", false, w.says("b", true))
		w.happens("the provider serves", false, func() { close(w.ready) })
		w.happens("who may be a base is known", true, func() { close(known) })
		w.happens("one is down", true, w.says("b", false))
		w.happens("it is down for nearly long", true, func() { time.Sleep(cutFor - time.Nanosecond) })
		w.happens("it is down for long", false, func() { time.Sleep(time.Nanosecond) })
		w.happens("it is up again", true, w.says("b", true))
		w.happens("both are down", true, func() { w.says("a", false)(); w.says("b", false)() })
		w.happens("one came back too late", false, func() { time.Sleep(cutFor - time.Second); w.says("b", true)(); time.Sleep(time.Second) })
		w.happens("both are back", true, w.says("a", true))
		w.happens("one was away for a moment", true, func() { w.says("a", false)(); w.says("a", true)(); time.Sleep(2 * cutFor) })
		w.end()
	})
}

// Each loss has a time of its own: what was lost before and came back, the link itself or
// another one, shortens none.
func TestALossHasItsOwnTime(t *testing.T) {
	for name, before := range map[string]string{"the link itself": "a", "another one": "b"} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newRunningWatch(t)
				w.happens("all is well", true, func() { close(w.ready); w.says("a", true)(); w.says("b", true)() })
				w.happens("one is down", true, w.says(before, false))
				w.happens("it is nearly told", true, func() { time.Sleep(cutFor - 100*time.Millisecond) })
				w.happens("one is lost anew as it comes back", true, func() {
					if before == "a" {
						w.says("a", true)()
					}
					w.says("a", false)()
					w.says("b", true)()
				})
				w.happens("the first one's time passes", true, func() { time.Sleep(time.Second) })
				w.happens("it says so again", true, w.says("a", false))
				w.happens("its own time is over", false, func() { time.Sleep(cutFor - time.Second) })
				w.end()
			})
		})
	}
}

// Nothing is told before the provider serves, also not what was long before.
func TestNobodyIsLinkedBeforeItServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRunningWatch(t)
		w.happens("both are up for long", false, func() { w.says("a", true)(); w.says("b", true)(); time.Sleep(2 * cutFor) })
		w.happens("one was down before", false, func() { w.says("b", false)(); time.Sleep(cutFor) })
		w.happens("the provider serves", false, func() { close(w.ready) })
		w.happens("both are up", true, w.says("b", true))
		w.end()
	})
}

// The watch ends with its session: what comes of a link after that is nobody's.
func TestALinkIsNotToldOfAfterTheSession(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newRunningWatch(t)
		w.happens("all is well", true, func() { close(w.ready); w.says("a", true)(); w.says("b", true)() })
		w.happens("one is down", true, w.says("b", false))
		w.happens("the session ends", true, w.end)
		w.happens("the time passes", true, func() { time.Sleep(2 * cutFor) })
		w.happens("the other one is cut off too", true, func() { w.says("a", false)(); time.Sleep(2 * cutFor) })
	})
}

// A session that ends before its provider served ends at once.
func TestAWatchEndsBeforeItServes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		newRunningWatch(t).end()
	})
}
