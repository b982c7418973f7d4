package httptunnel

import (
	"net/http"
	"sync/atomic"
	"testing"

	"module-controller/tunnel"
	"module-controller/tunnel/tunneltest"
)

func TestABaseThatMovedIsCommandedWhereItIs(t *testing.T) {
	tun, s, _ := start(t, nil)
	var left atomic.Int32
	before := server(t, func(w http.ResponseWriter, r *http.Request) { left.Add(1); atOnce(w, r) })
	after := server(t, atOnce)
	after.Base = before.Base
	tun.Follow(before)
	tun.Follow(after)
	if err := tun.Do(t.Context(), before.Base, list); err != nil {
		t.Fatal(err)
	}
	tunneltest.Await(t, "a list", func() bool { return s.Recorded().Lists(before.Base) == 1 })
	if n := left.Load(); n != 0 {
		t.Errorf("%d requests came to where the base was before", n)
	}
}

// An answer that was read just before Unfollow is not reported after it.
func TestALateAnswerOfAnUnfollowedBaseIsDropped(t *testing.T) {
	tun, s, _ := start(t, nil)
	h := server(t, atOnce)
	tun.Follow(h)
	tun.mu.Lock()
	from := tun.bases[h.Base]
	tun.mu.Unlock()
	tun.report(from, tunnel.Report{Base: h.Base, Listed: true})
	tun.Unfollow(h.Base)
	tun.report(from, tunnel.Report{Base: h.Base, Listed: true})
	if n := s.Recorded().Lists(h.Base); n != 1 {
		t.Errorf("%d lists were reported, want the one before Unfollow", n)
	}
}
