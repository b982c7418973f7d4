package provider

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// refusals are the identities that were logged as refused.
func (p *testProvider) refusals() (ids []string) {
	for _, l := range p.logs.FilterMessage("base refused").All() {
		ids = append(ids, l.ContextMap()["identity"].(string))
	}
	return ids
}

// A base that cannot be a Node is told once, however often it beats, and gets nothing.
func TestABaseThatCannotBeANodeIsRefusedOnce(t *testing.T) {
	for name, id := range map[string]tunnel.BaseID{
		"its identity is empty":      {Env: "dev"},
		"its identity is too long":   {Env: "dev", Identity: strings.Repeat("x", 253)},
		"its environment is none":    {Env: "De_v", Identity: "b"},
		"its environment is another": {Env: "prod", Identity: "b"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := running(t)
				for range 3 {
					p.beats(func(h *tunnel.Heartbeat) { h.Base = id })
					p.passes(10 * time.Second)
				}
				if p.owner.isRequested(id) || p.wire.follows(id) || p.bases.get(id) != nil || p.leaseLabels(id) != nil || p.HasNode(id) {
					t.Error("it is served")
				}
				if got := p.refusals(); len(got) != 1 || got[0] != id.Identity {
					t.Errorf("refused are %q", got)
				}
			})
		})
	}
}

// Before the Nodes that are there are known a base is not discovered: what was installed
// on it would be forgotten.
func TestNoBaseIsDiscoveredBeforeTheCacheIsFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		p.beats()
		if p.bases.get(shop) != nil || p.leaseLabels(shop) != nil {
			t.Error("it is known")
		}
		if got := p.refusals(); len(got) > 0 {
			t.Errorf("it was refused for that: %q", got)
		}
		p.runs()
		p.serves()
		if labels := p.leaseLabels(shop); labels["vnode.koupleless.io/name"] != "shop" || labels[plan.LabelTunnel] != "wire" {
			t.Errorf("its Lease is labelled %v", labels)
		}
	})
}

// A base whose Node is there is polled although it does not beat.
func TestBasesWhoseNodesAreThereAreServed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t, nodeOf(heard("wire"), ""))
		p.passes(10 * time.Second)
		if !p.wire.follows(shop) || !p.base.toldWithin(10*time.Second) || p.notReady() != "" || !p.HasNode(shop) {
			t.Errorf("followed %v, polled %v, its Node is %q", p.wire.follows(shop), p.base.toldWithin(10*time.Second), p.notReady())
		}
		p.installs(podOn("orders"))
	})
}

// What its Lease says is installed, or its Node where an earlier version served it, was
// installed by this program, and goes when no pod asks for it any more. Once the Lease says
// so the Node does no more.
func TestWhatIsNotedAsInstalledIsKnown(t *testing.T) {
	const note = "virtual-kubelet.koupleless.io/installed-modules"
	for name, c := range map[string]struct{ lease, node string }{
		"by the Lease": {lease: "orders:1"}, "by the Node": {node: "orders:1"},
		"by the Node, though the Lease is older": {lease: "stock:1", node: "orders:1"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node := nodeOf(heard("wire"), "")
				if c.node != "" {
					node.Annotations[note] = c.node
				}
				p := newTestProvider(t, Config{}, nil, node)
				if c.lease != "" {
					p.owner.noted[shop] = map[string]string{note: c.lease}
				}
				p.base.modules[orders] = tunnel.Activated
				p.base.modules[tunnel.ModuleKey{Name: "foreign", Version: "1"}] = tunnel.Activated
				p.runs()
				p.beats()
				p.passes(time.Minute)
				if log := p.base.log(); p.base.has(orders) || len(log) != 1 {
					t.Errorf("the base did %v", log)
				}
				p.owner.writes(shop) // as soon as it may be, it was installed still
				p.beats()
				p.passes(time.Minute)
				p.owner.writes(shop)
				if on, told := p.node().Annotations[note]; told || p.owner.noted[shop][note] != "" {
					t.Errorf("the Node tells %q, the Lease %q", on, p.owner.noted[shop][note])
				}
			})
		})
	}
}

// What is noted is of the base's owner: nobody else writes over it.
func TestOnlyAnOwnerNotes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.installs(podOn("orders"))
		if got := plan.Noted(p.leaseNotes(shop)); !got[orders] {
			t.Errorf("it notes %v", got)
		}
		p.owner.loses(shop)
		p.passes(time.Second)
		if got := p.leaseNotes(shop); got != nil {
			t.Errorf("the base is another's, and it notes %v", got)
		}
	})
}

// The Node says that the base did not answer whoever served it before: it does not
// answer the next one either, until it does.
func TestABaseThatDidNotAnswerStaysNotReady(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil, nodeOf(heard("wire"), plan.ReasonBaseNotAnswering))
		p.base.silent = true
		p.runs()
		for range 3 {
			p.beats()
			p.passes(10 * time.Second)
			if p.notReady() != plan.ReasonBaseNotAnswering {
				t.Fatalf("it is %q", p.notReady())
			}
		}
		p.base.set(func(b *base) { b.silent = false })
		p.passes(10 * time.Second)
		if p.notReady() != "" {
			t.Errorf("it answered, and is %s", p.notReady())
		}
	})
}

// Nodes that this replica cannot serve are left alone.
func TestForeignNodesAreLeftAlone(t *testing.T) {
	prod := heard("wire")
	prod.Base.Env = "prod"
	for name, node := range map[string]*corev1.Node{
		"its tunnel is not served":      nodeOf(heard("pigeon"), ""),
		"its environment is not served": nodeOf(prod, ""),
		"it is no base's":               {},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				node := node.DeepCopy()
				if node.Name == "" {
					node.Name, node.Labels = "worker-1", map[string]string{plan.LabelComponent: plan.ComponentVNode}
				}
				p := running(t, node)
				p.passes(time.Hour)
				got := p.nodes.get(node.Name)
				if got == nil || got.ResourceVersion != node.ResourceVersion || len(p.bases.all()) > 0 {
					t.Errorf("the Node is %v, known are %v", got, p.bases.all())
				}
			})
		})
	}
}
