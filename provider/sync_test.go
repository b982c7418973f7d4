package provider

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/shard"
	"module-controller/tunnel"
)

// installedOnce is the log of a base that was told to install orders once.
var installedOnce = []string{"install orders:1"}

// stuck is a served base that was told to install orders and has not done so.
func stuck(t *testing.T) *testProvider {
	t.Helper()
	p := running(t)
	p.serves()
	p.base.set(func(b *base) { b.stuck = true })
	p.binds(podOn("orders"))
	p.passes(3 * time.Second)
	if kept := p.base.keeps(); len(kept) != 1 || kept[0].Module != orders {
		t.Fatalf("it was told %v", kept)
	}
	return p
}

// keeps are the commands that a stuck base got.
func (b *base) keeps() []tunnel.Command {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.kept)
}

// waits is why the container of a pod waits.
func waits(pod *corev1.Pod) string {
	for _, s := range pod.Status.ContainerStatuses {
		if s.State.Waiting != nil {
			return s.State.Waiting.Reason
		}
	}
	return ""
}

// Asking for the claim of a base that is no more would make its Lease anew.
func TestAnUnknownBaseIsNotAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.Changed(shop) // its owner tells of its end
		p.passes(time.Minute)
		p.Changed(shop)
		p.passes(time.Minute)
		if p.owner.isRequested(shop) || p.owner.isRetired(shop) || p.node() != nil {
			t.Errorf("a Lease was asked for: %v, given up: %v, Node %v", p.owner.isRequested(shop), p.owner.isRetired(shop), p.node())
		}
	})
}

// A base that is another's, and is neither heard nor a Node any more, is dropped without a
// Lease: one that was heard once, and one that answered here before.
func TestABaseThatVanishedIsNotAskedFor(t *testing.T) {
	for name, served := range map[string]bool{"heard once": false, "served before": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := running(t)
				if served {
					p.serves()
				}
				p.owner.loses(shop)
				p.passes(time.Second) // its owner would make a deleted Node anew
				if served {
					must(t, p.api.CoreV1().Nodes().Delete(t.Context(), shopNode, *deleteNow()))
				}
				p.beats()
				p.passes(39 * time.Second)
				p.owner.Retire(shop) // whoever had it deleted its Lease
				p.passes(time.Hour)
				if p.owner.isRequested(shop) || p.bases.get(shop) != nil {
					t.Errorf("a Lease was asked for: %v, known %v", p.owner.isRequested(shop), p.bases.get(shop))
				}
			})
		})
	}
}

// While we may not act for a base that is ours, what is in flight on it goes on.
func TestWhatIsInFlightOutlivesASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stuck(t)
		p.owner.suspends(shop)
		p.passes(5 * time.Second)
		if !p.wire.follows(shop) {
			t.Error("it is not followed while the claim is suspended")
		}
		p.wire.resumes(shop)
		p.passes(5 * time.Second)
		if got := p.pod("orders").Status.Phase; got == corev1.PodRunning {
			t.Error("the pod was written without a claim")
		}
		p.owner.renews(shop)
		p.passes(5 * time.Second)
		if log := p.base.log(); !slices.Equal(log, installedOnce) || !p.wire.follows(shop) {
			t.Errorf("the base did %v, followed %v", log, p.wire.follows(shop))
		}
		if got := p.pod("orders").Status; got.Phase != corev1.PodRunning {
			t.Errorf("the pod shows %+v", got)
		}
	})
}

// A command that is in flight when the claim is suspended is not sent again.
func TestACommandIsNotRepeatedAfterASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stuck(t)
		p.owner.suspends(shop)
		p.passes(5 * time.Second)
		p.owner.renews(shop)
		p.passes(10 * time.Second)
		if kept := p.base.keeps(); len(kept) != 1 {
			t.Errorf("the base was told %v", kept)
		}
		p.wire.resumes(shop)
		p.passes(3 * time.Second)
		if log := p.base.log(); !slices.Equal(log, installedOnce) || p.pod("orders").Status.Phase != corev1.PodRunning {
			t.Errorf("the base did %v", log)
		}
	})
}

// A base could not be asked while the claim was suspended: its silence counts from the renewal.
func TestSilenceDoesNotCountDuringASuspension(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.silent = true })
		p.owner.suspends(shop)
		p.passes(5 * time.Minute)
		p.owner.renews(shop)
		p.passes(35 * time.Second)
		if p.notReady() != "" {
			t.Fatalf("35 s after the renewal it is %s", p.notReady())
		}
		p.passes(10 * time.Second)
		if p.notReady() != plan.ReasonBaseSilent {
			t.Errorf("45 s after the renewal it is %q", p.notReady())
		}
	})
}

// Whoever had the base meanwhile may have done anything: what we sent is not waited for.
func TestABaseThatIsWonAgainBeginsAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.deaf = true })
		p.binds(podOn("orders"))
		p.passes(3 * time.Second)
		p.base.set(func(b *base) { b.deaf = false })
		p.passes(15 * time.Second)
		if log := p.base.log(); len(log) > 0 {
			t.Fatalf("a lost command is not waited for: %v", log)
		}
		p.owner.wins(shop)
		p.passes(15 * time.Second)
		if log := p.base.log(); !slices.Equal(log, installedOnce) || !p.wire.follows(shop) {
			t.Errorf("the base did %v, followed %v", log, p.wire.follows(shop))
		}
		if p.pod("orders").Status.Phase != corev1.PodRunning || p.phase() != lifecycle.Serving {
			t.Errorf("the pod shows %+v, the base is %s", p.pod("orders").Status, p.phase())
		}
	})
}

// A base that is another's is not followed, and its pods and modules are left alone.
func TestALostBaseIsLeftAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.installs(podOn("orders"))
		p.owner.loses(shop)
		p.passes(time.Second)
		if p.wire.follows(shop) || p.Census() != (Census{}) {
			t.Errorf("it is followed: %v, counted: %+v", p.wire.follows(shop), p.Census())
		}
		node, pod := p.node(), p.pod("orders")
		p.terminates("orders")
		p.beats(func(h *tunnel.Heartbeat) { h.Version = "2" })
		p.passes(time.Hour)
		if got := p.pod("orders"); !p.base.has(orders) || got == nil || got.Status.Phase != pod.Status.Phase {
			t.Errorf("the base did %v, the pod is %v", p.base.log(), got)
		}
		if got := p.node(); got == nil || got.ResourceVersion != node.ResourceVersion {
			t.Errorf("its Node was written: %v", got)
		}
	})
}

// What was not written in time is not written under a later claim.
func TestALostBaseHasNoWritesOnTheirWay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.api.failsWith(errRefused, "patch pods")
		p.binds(podOn("orders"))
		p.passes(3 * time.Second)
		if !p.base.has(orders) || !p.pods.Writing(shopNode) {
			t.Fatalf("the base did %v, written %v", p.base.log(), p.pods.Writing(shopNode))
		}
		p.owner.loses(shop)
		p.passes(time.Second)
		if p.pods.Writing(shopNode) {
			t.Error("a status of a lost base is being written")
		}
	})
}

// The next owner knows neither what an answer meant nor what was not written.
func TestABaseIsDrainedWhenEverythingIsToldOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stuck(t)
		p.owner.phase(shop, shard.Draining)
		p.passes(2 * time.Second)
		if p.owner.isDrained(shop) {
			t.Fatal("it is drained although a command is not answered")
		}
		p.api.failsWith(errRefused, "patch pods")
		p.wire.resumes(shop)
		p.passes(2 * time.Second)
		if p.owner.isDrained(shop) {
			t.Fatal("it is drained although what the pod shows is not written")
		}
		p.api.failsWith(nil, "patch pods")
		p.passes(5 * time.Second)
		if got := p.pod("orders").Status; !p.owner.isDrained(shop) || got.Phase != corev1.PodRunning {
			t.Errorf("drained %v, the pod shows %+v", p.owner.isDrained(shop), got)
		}
		if got := p.leaseNotes(shop)["virtual-kubelet.koupleless.io/installed-modules"]; got != "orders:1" {
			t.Errorf("the Lease tells the next owner that %q is installed", got)
		}
	})
}

// The list has to show what an answer meant before the next owner may have the base.
func TestABaseIsNotDrainedBeforeTheListShowsTheAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := stuck(t)
		p.owner.phase(shop, shard.Draining)
		p.wire.failsWith(tunnel.ErrBusy, tunnel.ListModules)
		p.passes(time.Second)
		p.wire.resumes(shop)
		p.passes(5 * time.Second)
		if !p.base.has(orders) || p.owner.isDrained(shop) {
			t.Fatalf("installed %v, drained %v", p.base.has(orders), p.owner.isDrained(shop))
		}
		p.wire.failsWith(nil, tunnel.ListModules)
		p.passes(5 * time.Second)
		if !p.owner.isDrained(shop) || p.pod("orders").Status.Phase != corev1.PodRunning {
			t.Errorf("drained %v, the pod shows %+v", p.owner.isDrained(shop), p.pod("orders").Status)
		}
	})
}

// A base that drains gets no command that would have to be waited for.
func TestABaseThatDrainsGetsNoCommand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.owner.phase(shop, shard.Draining)
		p.binds(podOn("orders"))
		p.passes(10 * time.Second)
		if log := p.base.log(); len(log) > 0 || !p.owner.isDrained(shop) {
			t.Errorf("drained %v, the base did %v", p.owner.isDrained(shop), log)
		}
	})
}

// What may be the next owner's at any moment is not written any more; a base that stays
// after all is.
func TestNothingIsWrittenOfADrainedBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.owner.phase(shop, shard.Draining)
		p.passes(time.Second)
		if !p.owner.isDrained(shop) {
			t.Fatal("it is not drained")
		}
		node := p.node()
		p.beats(func(h *tunnel.Heartbeat) { h.Version = "2" }) // its Node should tell of it
		p.binds(podOn("orders"))
		p.passes(30 * time.Second)
		if got := p.node(); got.ResourceVersion != node.ResourceVersion || len(p.pod("orders").Status.Conditions) > 0 {
			t.Errorf("drained, its Node is %v, its pod shows %+v", got, p.pod("orders").Status)
		}
		p.owner.phase(shop, shard.Owned)
		p.passes(5 * time.Second)
		if got := p.node().Labels["vnode.koupleless.io/version"]; got != "2" || p.pod("orders").Status.Phase != corev1.PodRunning {
			t.Errorf("it stays, its Node shows version %s, its pod %+v", got, p.pod("orders").Status)
		}
	})
}

// A base that is handed over whatever is in flight goes when the writes on their way have
// ended, and is not written any more either.
func TestAForcedBaseWaitsForWritesOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.stuck = true })
		p.api.failsWith(errRefused, "patch pods")
		p.binds(podOn("orders"))
		p.passes(3 * time.Second)
		p.owner.phase(shop, shard.Forced)
		p.passes(time.Second)
		if p.owner.isDrained(shop) {
			t.Error("it is drained although what the pod shows is not written")
		}
		p.api.failsWith(nil, "patch pods")
		p.passes(5 * time.Second)
		if !p.owner.isDrained(shop) || len(p.base.keeps()) != 1 {
			t.Fatalf("drained %v with %v in flight", p.owner.isDrained(shop), p.base.keeps())
		}
		pod := p.pod("orders")
		p.wire.resumes(shop) // the pod should show it
		p.passes(20 * time.Second)
		if got := p.pod("orders"); !p.base.has(orders) || got.ResourceVersion != pod.ResourceVersion {
			t.Errorf("the pod was written: %+v", got.Status)
		}
	})
}

// Nothing is done and nothing is shown from a view of pods that is older than the claim.
func TestNothingIsDoneFromAnOldView(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.binds(podOn("orders"))
		p.passes(time.Second)
		newer := p.pod("orders").DeepCopy()
		newer.ResourceVersion = "900" // the watch has not delivered it
		p.api.liesAboutPods(*newer)
		p.beats()
		p.passes(20 * time.Second)
		if got := p.pod("orders").Status; len(p.base.log()) > 0 || len(got.Conditions) > 0 {
			t.Errorf("the base did %v, the pod shows %+v", p.base.log(), got)
		}
		if p.node() == nil || !p.base.toldWithin(10*time.Second) {
			t.Errorf("its Node is %v, and it is polled: %v", p.node(), p.base.toldWithin(10*time.Second))
		}
		p.api.liesAboutPods(*p.pod("orders")) // the cache has caught up
		p.passes(5 * time.Second)
		if got := p.pod("orders").Status; !slices.Equal(p.base.log(), installedOnce) || got.Phase != corev1.PodRunning {
			t.Errorf("the view is new, the base did %v, the pod shows %+v", p.base.log(), got)
		}
	})
}

// Where the Node cannot be written no command is sent, for the Node is to tell of what is
// installed; but the base is polled.
func TestWithoutItsNodeABaseIsPolledOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.api.failsWith(errRefused, "create nodes")
		p.binds(podOn("orders"))
		p.beats()
		p.passes(30 * time.Second)
		if log := p.base.log(); len(log) > 0 || !p.base.toldWithin(10*time.Second) {
			t.Errorf("the base did %v, and is polled: %v", log, p.base.toldWithin(10*time.Second))
		}
		p.api.failsWith(nil, "create nodes")
		p.passes(40 * time.Second)
		if p.node() == nil || !p.base.has(orders) {
			t.Errorf("its Node is %v, it did %v", p.node(), p.base.log())
		}
	})
}

// A Node that is refused, by a webhook say, keeps no module from being installed.
func TestANodeThatIsRefusedKeepsNothingBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.api.failsWith(errRefused, "patch nodes")
		p.beats(func(h *tunnel.Heartbeat) { h.Version = "2" })
		p.installs(podOn("orders"))
		p.api.failsWith(nil, "patch nodes")
		p.passes(time.Minute)
		if got := p.node().Labels["vnode.koupleless.io/version"]; got != "2" {
			t.Errorf("its Node is not written once it may be: version %s", got)
		}
	})
}

// The write of the Node may take so long that the claim is another's when it ends.
func TestAClaimThatIsLostWhileTheNodeIsWrittenSendsNothing(t *testing.T) {
	for name, lose := range map[string]func(*owner){
		"lost":      func(o *owner) { o.loses(shop) },
		"suspended": func(o *owner) { o.suspends(shop) },
		"draining":  func(o *owner) { o.phase(shop, shard.Draining) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := running(t)
				p.serves()
				p.api.before("patch nodes", func() { lose(p.owner) }) // the command goes after the Node
				p.binds(podOn("orders"))
				p.beats(func(h *tunnel.Heartbeat) { h.Version = "2" })
				p.passes(20 * time.Second)
				if log := p.base.log(); len(log) > 0 {
					t.Errorf("the base did %v", log)
				}
				if got := p.node().Labels["vnode.koupleless.io/version"]; got != "2" {
					t.Errorf("its Node was not written: version %s", got)
				}
			})
		})
	}
}

// A claim that is lost between two commands keeps the second one back.
func TestEachCommandAsksForTheClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.owner.suspends(shop)
		for _, name := range []string{"orders", "users", "carts"} {
			pod := podOn(name)
			pod.Spec.Containers[0].Name = name
			p.binds(pod)
		}
		p.passes(20 * time.Second)
		left := 0
		p.wire.mu.Lock()
		p.wire.leaves = func(c tunnel.Command) {
			if c.Verb == tunnel.InstallModule {
				left++
				p.owner.loses(shop)
			}
		}
		p.wire.mu.Unlock()
		p.owner.renews(shop)
		p.passes(20 * time.Second)
		p.wire.mu.Lock()
		defer p.wire.mu.Unlock()
		if left != 1 {
			t.Errorf("%d installs left", left)
		}
	})
}

// A base that is claimed though it was never heard here is served by what its Node tells.
func TestAClaimedBaseIsServedFromItsNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.owner.loses(shop)
		_, err := p.api.CoreV1().Nodes().Create(t.Context(), nodeOf(heard("wire"), ""), metav1.CreateOptions{})
		must(t, err)
		p.passes(time.Second)
		p.owner.wins(shop)
		p.passes(10 * time.Second)
		if !p.wire.follows(shop) || !p.base.toldWithin(10*time.Second) {
			t.Errorf("followed %v, polled %v", p.wire.follows(shop), p.base.toldWithin(10*time.Second))
		}
	})
}

// A Lease that is renewed would keep the Node of a base Ready that nobody can reach.
func TestAClaimedBaseOfAnotherTunnelIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t, nodeOf(heard("pigeon"), ""))
		p.owner.wins(shop)
		p.passes(time.Second)
		if !p.owner.isRetired(shop) || p.node() == nil {
			t.Errorf("given up %v, Node %v", p.owner.isRetired(shop), p.node())
		}
	})
}

// A claim without a Node is kept for a while: our view of Nodes may lag.
func TestAClaimWithoutANodeIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.owner.wins(shop)
		p.passes(35 * time.Second)
		if p.owner.isRetired(shop) {
			t.Fatal("it was given up before StaleAfter")
		}
		p.passes(10 * time.Second)
		if !p.owner.isRetired(shop) {
			t.Error("it was not given up")
		}
	})
}

// heard is the base shop as it was heard through a tunnel.
func heard(by string) tunnel.Heartbeat {
	return tunnel.Heartbeat{Base: shop, Tunnel: by, Name: "shop", Version: "1", Cluster: "c", IP: "192.0.2.1", Hostname: "h"}
}
