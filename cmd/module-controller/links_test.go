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

// A replica is linked, so that others give it bases, when its tunnels are up and it can
// serve; and not any more when a tunnel was down for a while.
func TestWhoIsLinked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var linked atomic.Bool
		w := newLinkWatch(&tunneltest.RecordingSink{}, 2, linked.Store)
		ready := make(chan struct{})
		ctx, end := context.WithCancel(t.Context())
		var serving sync.WaitGroup
		serving.Go(func() {
			if err := w.serveWhen(ctx, ready); err != nil {
				t.Error(err)
			}
		})
		happens := func(what string, want bool, do func()) {
			t.Helper()
			do()
			if synctest.Wait(); linked.Load() != want {
				t.Errorf("%s: linked %v", what, !want)
			}
		}
		happens("one tunnel is up", false, func() { w.Link(tunnel.Link{Tunnel: "a", Up: true}) })
		happens("both are up", false, func() { w.Link(tunnel.Link{Tunnel: "b", Up: true}) })
		happens("the provider serves", true, func() { close(ready) })
		happens("one is down", true, func() { w.Link(tunnel.Link{Tunnel: "b"}) })
		happens("it is down for long", false, func() { time.Sleep(cutFor) })
		happens("it is up again", true, func() { w.Link(tunnel.Link{Tunnel: "b", Up: true}) })
		end()
		serving.Wait()
	})
}
