package provider

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// goesSilent has the base shop silent for so long that its Node is deleted, or should be.
func (p *testProvider) goesSilent() {
	p.t.Helper()
	p.base.set(func(b *base) { b.silent = true })
	p.passes(time.Minute)
	if p.notReady() != plan.ReasonBaseSilent {
		p.t.Fatalf("after a minute it is %q", p.notReady())
	}
	p.passes(10 * time.Minute)
}

// A base that is silent for too long is no more: no Node, no claim, nobody to follow.
func TestASilentBaseIsRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.installs(podOn("orders"))
		p.goesSilent()
		if p.node() != nil || !p.owner.isRetired(shop) || p.wire.follows(shop) || p.HasNode(shop) || p.owner.isRequested(shop) {
			t.Errorf("its Node is %v, retired %v, followed %v", p.node(), p.owner.isRetired(shop), p.wire.follows(shop))
		}
		if p.pod("orders") == nil || !p.base.has(orders) {
			t.Error("its pod or its module was deleted: that is for others to do")
		}
	})
}

// Its pod was deleted while the base was away. What this program installed on it is
// known when it comes back, and goes.
func TestWhatIsInstalledOutlivesTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.installs(podOn("orders"))
		p.goesSilent()
		must(t, p.api.CoreV1().Pods("default").Delete(t.Context(), "orders", *deleteNow()))
		p.base.set(func(b *base) { b.silent = false })
		p.beats()
		p.passes(time.Minute)
		if p.node() == nil || p.notReady() != "" || p.base.has(orders) {
			t.Errorf("its Node is %v, it did %v", p.node(), p.base.log())
		}
	})
}

// A base is served until its Node is deleted, or its silence would begin anew.
func TestADeletionThatFailsIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.api.failsWith(errRefused, "delete nodes")
		p.goesSilent()
		if p.node() == nil || p.owner.isRetired(shop) || !p.wire.follows(shop) {
			t.Fatalf("its Node is %v, retired %v, followed %v", p.node(), p.owner.isRetired(shop), p.wire.follows(shop))
		}
		p.api.failsWith(nil, "delete nodes")
		p.passes(time.Minute)
		if p.node() != nil || !p.owner.isRetired(shop) || p.wire.follows(shop) {
			t.Errorf("its Node is %v, retired %v, followed %v", p.node(), p.owner.isRetired(shop), p.wire.follows(shop))
		}
	})
}

// A base that was claimed, and became no Node, is retired like any other.
func TestASilentBaseWithoutANodeIsRetired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.api.failsWith(errRefused, "create nodes")
		p.base.set(func(b *base) { b.silent = true })
		p.beats()
		p.passes(12 * time.Minute)
		if !p.owner.isRetired(shop) || p.wire.follows(shop) || p.bases.get(shop) != nil {
			t.Errorf("retired %v, followed %v", p.owner.isRetired(shop), p.wire.follows(shop))
		}
	})
}

// asBank has a heartbeat say that it is of another application at the base's address.
func asBank(h *tunnel.Heartbeat) { h.Name, h.IP = "bank", "192.0.2.2" }

// reuses has another application heard at the base's address for as long, and not the one
// before, whose modules are gone with it.
func (p *testProvider) reuses(d time.Duration) {
	p.base.set(func(b *base) { clear(b.modules) })
	for ; d > 0; d -= 5 * time.Second {
		p.beats(asBank)
		p.passes(5 * time.Second)
	}
}

// Another application at a base's address is another base, once the one before was silent
// for long: the Node goes, its pods are placed anew, and it gets a Node of its own. Of the
// modules of the one before it gets none, meanwhile or later.
func TestAnAddressThatIsReusedIsAnotherBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.installs(podOn("orders"))
		before := p.node().UID
		p.reuses(35 * time.Second)
		if p.node().UID != before || p.pod("orders") == nil {
			t.Fatalf("on a word its Node is %v, its pod %v", p.node(), p.pod("orders"))
		}
		p.reuses(15 * time.Second)
		got := p.node()
		if p.pod("orders") != nil || got == nil || got.UID == before || got.Labels["vnode.koupleless.io/name"] != "bank" {
			t.Errorf("the pod is %v, the Node %v", p.pod("orders"), got)
		}
		if p.base.has(orders) || !p.wire.follows(shop) || p.leaseLabels(shop)["vnode.koupleless.io/name"] != "bank" {
			t.Errorf("it did %v, followed %v, its Lease is labelled %v", p.base.log(), p.wire.follows(shop), p.leaseLabels(shop))
		}
	})
}

// The successor is served at once, also where there is no Node whose end would tell.
func TestASuccessorNeedsNoNodeBefore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.api.failsWith(errRefused, "create nodes")
		p.beats()
		p.passes(3 * time.Second)
		p.base.set(func(b *base) { b.silent = true }) // nor does an answer
		p.passes(time.Second)
		p.reuses(45 * time.Second)
		if h, ok := p.wire.follow(shop); !ok || h.Name != "bank" {
			t.Errorf("followed %v: %+v", ok, h)
		}
	})
}

// While a pod of the application before cannot be deleted the Node stays; so it does
// while it cannot be deleted itself.
func TestAReusedAddressWaitsForTheDeletions(t *testing.T) {
	for _, request := range []string{"delete pods", "delete nodes"} {
		t.Run(request, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := running(t)
				p.serves()
				p.installs(podOn("orders"))
				before := p.node().UID
				p.api.failsWith(errRefused, request)
				p.reuses(50 * time.Second)
				if got := p.node(); got == nil || got.UID != before || got.Labels["vnode.koupleless.io/name"] != "shop" {
					t.Fatalf("the Node is %v", got)
				}
				p.api.failsWith(nil, request)
				p.reuses(40 * time.Second)
				if got := p.node(); p.pod("orders") != nil || got == nil || got.Labels["vnode.koupleless.io/name"] != "bank" {
					t.Errorf("the pod is %v, the Node %v", p.pod("orders"), got)
				}
			})
		})
	}
}

// An address that was reused before this replica won the base is no less another base.
func TestAnAddressThatWasReusedBeforeTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil, nodeOf(heard("wire"), ""))
		p.owner.loses(shop)
		p.runs()
		before := p.node().UID
		p.binds(podOn("orders"))
		p.reuses(10 * time.Second)
		if p.node().UID != before || p.pod("orders") == nil {
			t.Fatal("another's Node was replaced")
		}
		p.owner.grants = true
		p.owner.wins(shop)
		p.reuses(50 * time.Second)
		if got := p.node(); got == nil || got.UID == before || got.Labels["vnode.koupleless.io/name"] != "bank" || p.pod("orders") != nil {
			t.Errorf("the Node is %v, the pod %v", got, p.pod("orders"))
		}
		if log := p.base.log(); len(log) > 0 {
			t.Errorf("it did %v", log)
		}
	})
}

// Two live applications that take turns on the same topics are a conflict, not a
// succession, and no pod is deleted for it.
func TestApplicationsThatAlternateAreAConflict(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.installs(podOn("orders"))
		before := p.node().UID
		for range 6 {
			p.beats(asBank)
			p.passes(5 * time.Second)
			p.beats()
			p.passes(5 * time.Second)
		}
		if got := p.node(); got == nil || got.UID != before || p.notReady() != plan.ReasonIdentityConflict || p.pod("orders") == nil {
			t.Errorf("its Node is %v", got)
		}
		e := told{"Node", shopNode, plan.ReasonIdentityConflict}
		if got := p.events.has(e); got == "" || got[:7] != corev1.EventTypeWarning {
			t.Errorf("the Event is %q of %v", got, p.events.events)
		}
	})
}
