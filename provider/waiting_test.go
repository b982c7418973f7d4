package provider

import (
	"testing"
	"testing/synctest"
	"time"

	"module-controller/tunnel"
)

// Of a flood a few come in, however many may be unproven: none of the others costs a Lease.
func TestAFloodCostsFewLeases(t *testing.T) {
	const n = 3000 // as many wait as may, and the others are refused
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{})
		p.serves()
		p.api.failsWith(errRefused, "create nodes") // a Node would prove that its base answers
		for range 12 {                              // two minutes
			p.floods(n)
			p.beats()
			p.passes(10 * time.Second)
			if known, leases := p.heardOf(n); known > strangers+1 || leases > strangers+1 {
				t.Fatalf("%d of them are known, %d have Leases", known, leases)
			}
		}
	})
}

// A fleet that starts is let in as fast as it answers, even if all are heard at once.
func TestAFleetThatStartsAtOnceIsServed(t *testing.T) {
	const n = 900
	synctest.Test(t, func(t *testing.T) {
		p, dropped := admitting(t, Admission{})
		for i := range n {
			p.wire.bases[ghost(i)] = &base{modules: map[tunnel.ModuleKey]tunnel.State{}}
			p.beats(func(h *tunnel.Heartbeat) { h.Base = ghost(i) })
		}
		if known, _ := p.heardOf(n); known > strangers+10 {
			t.Errorf("%d came in before any answered", known)
		}
		p.passes(3 * time.Second)
		nodes := 0
		for i := range n {
			if p.HasNode(ghost(i)) {
				nodes++
			}
		}
		if refused := dropped.of("wire too_many_unproven"); nodes != n || refused > 0 {
			t.Errorf("after 3 s %d of %d have Nodes, %d were refused", nodes, n, refused)
		}
	})
}

// Of those that wait, who goes on to speak comes in, and who was said once is dropped.
func TestASoundBaseComesInDuringAFlood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := admitting(t, Admission{})
		p.api.failsWith(errRefused, "create nodes")
		for round := range 6 { // after 40 s those leave that came in first
			if round >= 2 {
				p.beats()
			}
			for i := range 1500 {
				p.beats(func(h *tunnel.Heartbeat) { h.Base = ghost(1500*round + i) })
			}
			p.passes(10 * time.Second)
		}
		if p.bases.get(shop) == nil || !p.base.toldWithin(20*time.Second) {
			t.Error("it is not in")
		}
	})
}

// What answered more than two minutes ago lets nobody in.
func TestTrustEnds(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	a, err := newAdmission(Admission{}.complete(), time.Hour, 10)
	must(t, err)
	admitted := 0
	admit := func(n int, now time.Time) (in int) {
		for range n {
			if a.admit(tunnel.Heartbeat{Base: ghost(admitted), Tunnel: "wire"}, 0, now) == nil {
				admitted, in = admitted+1, in+1
			}
		}
		return in
	}
	if in := admit(2*strangers, noon); in != strangers {
		t.Fatalf("%d strangers came in", in)
	}
	for i := range 50 {
		a.prove(ghost(i), noon.Add(time.Second))
		a.prove(ghost(i), noon.Add(time.Second)) // once only
	}
	for at, want := range map[time.Duration]int{30 * time.Second: 50, 90 * time.Second: 50, 2 * time.Minute: 0, time.Hour: 0} {
		c := *a.crowds[crowd{tunnel: "wire"}]
		if got := c.trusted(noon.Add(at)); got != strangers+want {
			t.Errorf("after %s %d may be unproven, want %d and %d", at, got, strangers, want)
		}
	}
	if in := admit(500, noon.Add(time.Minute)); in != 100 {
		t.Errorf("%d more came in", in)
	}
}

// Who speaks again keeps its place, who does not is dropped, and nobody waits twice.
func TestWaiting(t *testing.T) {
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	w := newWaiting()
	says := func(i int, after time.Duration) bool {
		return w.add(tunnel.Heartbeat{Base: ghost(i), Received: noon.Add(after)}, 3, noon.Add(after))
	}
	for i := range 3 {
		if !says(i, 0) {
			t.Fatalf("no place for %d", i)
		}
	}
	if says(3, time.Second) || !says(1, 10*time.Second) || w.len() != 3 {
		t.Fatalf("%d wait", w.len())
	}
	if !says(3, 20*time.Second) || w.len() != 2 { // 0 and 2 are silent
		t.Fatalf("%d wait", w.len())
	}
	for _, want := range []tunnel.BaseID{ghost(1), ghost(3)} {
		if got, is := w.next(noon.Add(25 * time.Second)); !is || got.Base != want {
			t.Errorf("%v comes in, want %v", got.Base, want)
		}
	}
	says(4, 30*time.Second)
	if got, is := w.next(noon.Add(time.Minute)); is || w.len() != 0 || len(w.places) != 0 {
		t.Errorf("%v comes in that is silent, %d wait", got.Base, w.len())
	}
}
