package provider

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/strategicpatch"

	"module-controller/provider/kubelet"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// served is a base with a module, whose kubelet's API is served at one port.
func served(t *testing.T) (*testProvider, *kubelet.Ports) {
	t.Helper()
	p := newTestProvider(t, Config{}, nil)
	ports := kubelet.NewPorts(netip.MustParseAddr("10.0.0.7"), 10250, 1)
	p.deps.Kubelets = ports
	p.runs()
	p.serves()
	p.installs(podOn("orders"))
	p.passes(3 * time.Second)
	return p, ports
}

// A Node of ours names where its kubelet is, before its base's own address; one that is
// another's gives its port back.
func TestANodeNamesItsKubelet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, ports := served(t)
		status := p.node().Status
		want := []corev1.NodeAddress{
			{Type: "InternalIP", Address: "10.0.0.7"}, {Type: "Hostname", Address: "10.0.0.7"}, {Type: "InternalIP", Address: "192.0.2.1"},
		}
		if diff := cmp.Diff(want, status.Addresses[:3]); diff != "" || status.DaemonEndpoints.KubeletEndpoint.Port != 10250 {
			t.Errorf("it tells port %d and (-want +got)\n%s", status.DaemonEndpoints.KubeletEndpoint.Port, diff)
		}
		if ip := p.pod("orders").Status.PodIP; ip != "192.0.2.1" {
			t.Errorf("the pod is at %s", ip)
		}
		if ports.Taken() != 1 {
			t.Errorf("%d ports are taken", ports.Taken())
		}
		p.owner.loses(shop)
		p.passes(time.Second)
		if ports.Taken() != 0 {
			t.Error("the port of another's Node is taken")
		}
	})
}

// A replica that starts again at its address serves a Node where the Node shows it.
func TestANodeKeepsItsKubelet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil, plan.Node(plan.NodeInput{
			Now: time.Now(), Name: shopNode, Heartbeat: heard("wire"), Kubelet: plan.Endpoint{Host: "10.0.0.7", Port: 10252},
		}, nil))
		p.deps.Kubelets = kubelet.NewPorts(netip.MustParseAddr("10.0.0.7"), 10250, 4)
		p.runs()
		p.serves()
		if at := plan.KubeletOf(p.node()); at != (plan.Endpoint{Host: "10.0.0.7", Port: 10252}) {
			t.Errorf("its kubelet is at %v", at)
		}
	})
}

// No Node's kubelet is where another Node still shows its own, also one that this replica never
// serves: who asks for that one would be answered for this one. It is there once nobody shows it.
func TestAKubeletIsNotWhereAnotherNodeShowsItsOwn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		shared := plan.Endpoint{Host: "10.0.0.7", Port: 10250}
		other := heardAs(tunnel.BaseID{Env: "prod", Identity: "other"}) // an environment that is not served
		name, err := plan.NodeName(other.Base)
		must(t, err)
		p := newTestProvider(t, Config{}, nil, plan.Node(plan.NodeInput{Now: time.Now(), Name: name, Heartbeat: other, Kubelet: shared}, nil))
		p.deps.Kubelets = kubelet.NewPorts(netip.MustParseAddr(shared.Host), int(shared.Port), 1)
		p.runs()
		p.serves()
		if at := plan.KubeletOf(p.node()); at != (plan.Endpoint{}) {
			t.Errorf("its kubelet is at %v, where another Node shows its own", at)
		}
		must(t, p.api.CoreV1().Nodes().Delete(t.Context(), name, metav1.DeleteOptions{}))
		p.passes(time.Minute)
		if at := plan.KubeletOf(p.node()); at != shared {
			t.Errorf("once nobody shows it, its kubelet is at %v, want %v", at, shared)
		}
	})
}

// Addresses of one type are patched as they are to be: merged by type, of two only one would
// be left.
func TestAddressesArePatchedWhole(t *testing.T) {
	node := func(addresses ...string) *corev1.Node {
		n := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: shopNode}}
		for _, a := range addresses {
			n.Status.Addresses = append(n.Status.Addresses, corev1.NodeAddress{Type: corev1.NodeInternalIP, Address: a})
		}
		return n
	}
	for name, c := range map[string]struct{ was, is *corev1.Node }{
		"one more before": {node("192.0.2.1"), node("10.0.0.7", "192.0.2.1")},
		"another":         {node("10.0.0.7", "192.0.2.1"), node("10.0.0.8", "192.0.2.1")},
		"one less":        {node("10.0.0.7", "192.0.2.1"), node("192.0.2.1")},
		"none":            {node("10.0.0.7", "192.0.2.1"), node()},
		"the first":       {node(), node("10.0.0.7", "192.0.2.1")},
	} {
		patch, err := nodePatch(c.was, c.is)
		must(t, err)
		before, err := json.Marshal(c.was)
		must(t, err)
		after, err := strategicpatch.StrategicMergePatch(before, patch, corev1.Node{})
		must(t, err)
		var got corev1.Node
		must(t, json.Unmarshal(after, &got))
		if diff := cmp.Diff(c.is.Status.Addresses, got.Status.Addresses); diff != "" && len(c.is.Status.Addresses)+len(got.Status.Addresses) > 0 {
			t.Errorf("%s: by %s (-want +got)\n%s", name, patch, diff)
		}
	}
}

// What is shown of a Node is what its base told last, and the pods whose modules it serves,
// without what their environments resolve to.
func TestWhatIsSeenOfANode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := served(t)
		view, ok := ViewsOf(p.Provider).Look(shopNode)
		if !ok || view.Node.Name != shopNode || len(view.Pods) != 1 || view.Health == nil || view.Health.CPUs != 2 {
			t.Fatalf("it is seen as %+v, %v", view, ok)
		}
		if len(view.Running) != 1 || view.Running[0].Name != "orders" || view.Running[0].Spec.Containers[0].Env != nil {
			t.Errorf("these run: %+v", view.Running)
		}
		p.base.set(func(b *base) { b.modules = map[tunnel.ModuleKey]tunnel.State{orders: tunnel.Broken}; b.stuck = true })
		if _, err := ViewsOf(p.Provider).Ask(t.Context(), shopNode, tunnel.ListModules); err != nil {
			t.Fatal(err)
		}
		if view, _ := ViewsOf(p.Provider).Look(shopNode); len(view.Running) != 0 {
			t.Errorf("what is broken runs: %+v", view.Running)
		}
		if _, ok := ViewsOf(p.Provider).Look("vnode.other.dev"); ok {
			t.Error("a Node that is not there is seen")
		}
	})
}

// The Pod that a base runs in is the one that proved it to this replica, whatever is written on
// its Node: before a heartbeat came there is none.
func TestInWhichPodABaseRuns(t *testing.T) {
	const own, victim = "ns/shop-0/1", "victim/db-0/9"
	workload := func(p *testProvider) string {
		view, ok := ViewsOf(p.Provider).Look(shopNode)
		if !ok {
			p.t.Fatal("the Node is not seen")
		}
		return view.Workload
	}
	for name, c := range map[string]struct{ node, want string }{
		"the Node names it": {own, own}, "the Node names none": {"", own},
		"the Node names another": {victim, ""}, // and the base is a contender, until it is believed
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				is := heard("wire")
				overHTTP(&is)
				of(c.node)(&is)
				p := running(t, nodeOf(is, ""))
				p.passes(3 * time.Second)
				if got := workload(p); got != "" {
					t.Errorf("before a heartbeat it runs in %q", got)
				}
				p.beats(overHTTP, of(own))
				p.passes(3 * time.Second)
				if got := workload(p); got != c.want {
					t.Errorf("it runs in %q, want %q", got, c.want)
				}
				p.owner.suspends(shop) // so that what is written on the Node stays
				node := p.node()
				node.Annotations[plan.AnnotationBoundTo] = victim
				_, err := p.api.CoreV1().Nodes().Update(t.Context(), node, metav1.UpdateOptions{})
				must(t, err)
				p.passes(3 * time.Second)
				if view, _ := ViewsOf(p.Provider).Look(shopNode); view.Node.Annotations[plan.AnnotationBoundTo] != victim || view.Workload != c.want {
					t.Errorf("it runs in %q, want %q; the Node says %v", view.Workload, c.want, view.Node.Annotations)
				}
			})
		})
	}
}

// A base is asked by its owner alone, and answers what it was asked.
func TestABaseIsAsked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := served(t)
		v := ViewsOf(p.Provider)
		answer, err := v.Ask(t.Context(), shopNode, tunnel.ListModules)
		if err != nil || !answer.Listed || len(answer.Modules) != 1 || answer.Modules[0].ModuleKey != orders {
			t.Errorf("its modules: %+v (%v)", answer, err)
		}
		if answer, err = v.Ask(t.Context(), shopNode, tunnel.ReadHealth); err != nil || answer.Health == nil {
			t.Errorf("its health: %+v (%v)", answer, err)
		}
		if _, err := v.Ask(t.Context(), "vnode.other.dev", tunnel.ReadHealth); err == nil {
			t.Error("a base that nobody knows answers")
		}
		p.wire.failsWith(tunnel.ErrBusy, tunnel.ReadHealth)
		if _, err := v.Ask(t.Context(), shopNode, tunnel.ReadHealth); !errors.Is(err, tunnel.ErrBusy) {
			t.Errorf("what does not leave: %v", err)
		}
		p.wire.failsWith(nil, tunnel.ReadHealth)
		p.owner.suspends(shop)
		if _, err := v.Ask(t.Context(), shopNode, tunnel.ReadHealth); err == nil {
			t.Error("a base is asked by who may not")
		}
		p.owner.renews(shop)
		if log := p.base.log(); !cmp.Equal(log, installedOnce) {
			t.Errorf("questions did something: %v", log)
		}
	})
}

// However many ask a base that does not answer, few wait, each until his own time ends, and
// none for ever.
func TestASilentBaseKeepsFewWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, _ := served(t)
		p.base.set(func(b *base) { b.silent = true })
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		v, began := ViewsOf(p.Provider), time.Now()
		errs := make(chan error, maxAsking)
		for range maxAsking {
			go func() {
				_, err := v.Ask(ctx, shopNode, tunnel.ListModules)
				errs <- err
			}()
		}
		time.Sleep(time.Second)
		if _, err := v.Ask(ctx, shopNode, tunnel.ListModules); err == nil || time.Since(began) != time.Second {
			t.Errorf("one more waits %s: %v", time.Since(began), err)
		}
		for range maxAsking {
			if err := <-errs; !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("one ends with %v", err)
			}
		}
		p.base.set(func(b *base) { b.silent = false })
		if _, err := v.Ask(t.Context(), shopNode, tunnel.ListModules); err != nil {
			t.Errorf("it speaks again: %v", err)
		}
	})
}
