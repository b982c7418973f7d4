package provider

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// inCluster changes a Node of the API as somebody else would. It may be called while a
// request is served.
func (p *testProvider) inCluster(change func(*corev1.Node)) {
	p.t.Helper()
	resource := corev1.SchemeGroupVersion.WithResource("nodes")
	obj, err := p.api.Tracker().Get(resource, "", shopNode)
	must(p.t, err)
	node := obj.(*corev1.Node).DeepCopy()
	change(node)
	p.api.number(node)
	must(p.t, p.api.Tracker().Update(resource, node, ""))
}

// describesShop says whether a Node is labelled and tainted as that of the base shop.
func describesShop(node *corev1.Node) bool {
	return node.Labels["vnode.koupleless.io/name"] == "shop" && node.Labels[plan.LabelComponent] == plan.ComponentVNode &&
		slices.ContainsFunc(node.Spec.Taints, func(t corev1.Taint) bool { return t.Key == "schedule.koupleless.io/virtual-node" })
}

// A Node of the name that has not our labels is not in the cache. It becomes the base's,
// and keeps what others wrote on it.
func TestAForeignNodeBecomesTheBases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		foreign := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: shopNode, UID: "theirs", Labels: map[string]string{"team": "x"}}}
		foreign.Spec.Taints = []corev1.Taint{{Key: "theirs", Effect: corev1.TaintEffectNoSchedule}}
		p := running(t, foreign)
		p.beats()
		p.passes(3 * time.Second)
		got := p.node()
		if got.UID != "theirs" || got.Labels["team"] != "x" || len(got.Spec.Taints) != 3 || !describesShop(got) || p.notReady() != "" {
			t.Errorf("it is %v %v", got.ObjectMeta, got.Spec.Taints)
		}
		p.installs(podOn("orders"))
	})
}

// Taints are a list that is replaced whole: what somebody else adds meanwhile stays.
func TestATaintThatComesMeanwhileStays(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.api.before("patch nodes", func() {
			p.inCluster(func(n *corev1.Node) {
				n.Spec.Taints = []corev1.Taint{{Key: "theirs", Effect: corev1.TaintEffectNoSchedule}}
			})
		})
		p.inCluster(func(n *corev1.Node) { n.Spec.Taints = nil }) // ours are to be put back
		p.passes(5 * time.Second)
		if got := p.node(); len(got.Spec.Taints) != 3 || !describesShop(got) {
			t.Errorf("its taints are %v", got.Spec.Taints)
		}
	})
}

// What somebody else takes from a Node is put back, and what they add is left.
func TestANodeIsRepaired(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.inCluster(func(n *corev1.Node) {
			n.Labels["team"] = "x"
			delete(n.Labels, "vnode.koupleless.io/name")
			n.Status.Conditions = nil
			n.Spec.Unschedulable = true
		})
		p.passes(time.Second)
		got := p.node()
		if !describesShop(got) || got.Labels["team"] != "x" || !got.Spec.Unschedulable || len(got.Status.Conditions) == 0 {
			t.Errorf("it is %v", got)
		}
	})
}

// A Node that is deleted by hand is made anew while its base is heard.
func TestADeletedNodeIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		before := p.node().UID
		must(t, p.api.CoreV1().Nodes().Delete(t.Context(), shopNode, metav1.DeleteOptions{}))
		p.passes(time.Second)
		if got := p.node(); got == nil || got.UID == before || !describesShop(got) {
			t.Errorf("the Node is %v", got)
		}
	})
}

// The Node of a base that is not heard is not made anew, and nothing waits for it busily.
func TestADeletedNodeOfASilentBaseIsNotMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.silent = true })
		p.passes(time.Minute)
		if p.notReady() != plan.ReasonBaseSilent {
			t.Fatalf("it is %q", p.notReady())
		}
		must(t, p.api.CoreV1().Nodes().Delete(t.Context(), shopNode, metav1.DeleteOptions{}))
		p.passes(8 * time.Minute)
		if p.node() != nil {
			t.Error("its Node was made anew")
		}
		p.base.set(func(b *base) { b.silent = false })
		p.beats()
		p.passes(10 * time.Second) // it has to answer, too
		if p.node() == nil || p.notReady() != "" {
			t.Errorf("heard again, its Node is %v", p.node())
		}
	})
}

// The deletion may come to us after our next write, which finds no Node.
func TestANodeThatIsGoneAtTheWriteIsMadeAnew(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		before := p.node().UID
		p.api.before("patch nodes", func() {
			must(t, p.api.Tracker().Delete(corev1.SchemeGroupVersion.WithResource("nodes"), "", shopNode))
		})
		p.beats(func(h *tunnel.Heartbeat) { h.Version = "2" })
		p.passes(2 * time.Second)
		if got := p.node(); got == nil || got.UID == before || got.Labels["vnode.koupleless.io/version"] != "2" {
			t.Errorf("the Node is %v", got)
		}
	})
}

// A Node that cannot be written is written once it can.
func TestANodeIsWrittenOnceItCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.api.failsWith(errRefused, "create nodes")
		p.beats()
		p.passes(500 * time.Millisecond)
		p.api.failsWith(nil, "create nodes")
		p.passes(time.Second) // before it is polled the next time
		if p.node() == nil {
			t.Fatal("it was not created")
		}
		p.api.failsWith(errRefused, "patch nodes")
		p.beats(func(h *tunnel.Heartbeat) { h.Version = "2" })
		p.passes(500 * time.Millisecond)
		p.api.failsWith(nil, "patch nodes")
		p.passes(time.Second)
		if got := p.node(); got.Labels["vnode.koupleless.io/version"] != "2" {
			t.Errorf("it shows %v %v", got.Labels, got.Status.Addresses)
		}
	})
}

// touchedOften has Nodes that differ in nothing written every five minutes.
var touchedOften = Config{Config: lifecycle.Config{NodeEvery: 5 * time.Minute}}

// A Node that differs in nothing is touched from time to time, so that others see that
// somebody looks after it.
func TestANodeIsTouchedFromTimeToTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, touchedOften, nil)
		p.runs()
		p.serves()
		p.passes(6 * time.Minute)
		for _, c := range p.node().Status.Conditions {
			if c.Type == corev1.NodeReady && time.Since(c.LastHeartbeatTime.Time) > touchedOften.NodeEvery {
				t.Errorf("it was touched %s ago", time.Since(c.LastHeartbeatTime.Time))
			}
		}
	})
}

// created is a Node that the API server has, and the Nodes of that server.
func created(t *testing.T) (*nodes, *api, *corev1.Node) {
	t.Helper()
	server := newAPI()
	n := newNodes(server, NoMeter, zap.NewNop())
	node, isNew, err := n.create(t.Context(), nodeOf(heard("wire"), ""))
	if err != nil || !isNew {
		t.Fatalf("created %v: %v", isNew, err)
	}
	return n, server, node
}

func TestADeletionSparesASuccessor(t *testing.T) {
	n, server, node := created(t)
	other := node.DeepCopy()
	other.UID = "before"
	if err := n.delete(t.Context(), other); err == nil {
		t.Error("no error, though the Node is another")
	}
	if _, err := server.CoreV1().Nodes().Get(t.Context(), node.Name, metav1.GetOptions{}); err != nil {
		t.Errorf("the other Node is gone: %v", err)
	}
	for range 2 { // one that is gone is well
		must(t, n.delete(t.Context(), node))
	}
	if _, err := server.CoreV1().Nodes().Get(t.Context(), node.Name, metav1.GetOptions{}); err == nil {
		t.Error("the Node is there still")
	}
}

// A Node's description and its status are written apart, and each only where it differs.
func TestPatchWritesWhatDiffers(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*corev1.Node)
		fails  bool // the API server refuses
		status bool
		writes bool
	}{
		{"nothing", func(*corev1.Node) {}, false, false, false},
		{"a label", func(n *corev1.Node) { n.Labels["a"] = "b" }, false, false, true},
		{"the status", func(n *corev1.Node) { n.Status.Phase = corev1.NodeTerminated }, false, true, true},
		{"both", func(n *corev1.Node) { n.Labels["a"], n.Status.Phase = "b", corev1.NodeTerminated }, false, true, true},
		{"a label that is refused", func(n *corev1.Node) { n.Labels["a"] = "b" }, true, false, false},
		{"a status that is refused", func(n *corev1.Node) { n.Status.Phase = corev1.NodeTerminated }, true, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			n, server, node := created(t)
			if c.fails {
				server.failsWith(errRefused, "patch nodes")
			}
			want := node.DeepCopy()
			c.change(want)
			got, status, err := n.patch(t.Context(), node, want)
			if (err != nil) != c.fails || status != c.status || (got != nil) != c.writes {
				t.Fatalf("it gives %v, status %v: %v", got, status, err)
			}
			is, err := server.CoreV1().Nodes().Get(t.Context(), node.Name, metav1.GetOptions{})
			must(t, err)
			if (is.ResourceVersion != node.ResourceVersion) != c.writes {
				t.Errorf("written: %v", is.ResourceVersion != node.ResourceVersion)
			}
			if c.writes && (is.Labels["a"] != want.Labels["a"] || is.Status.Phase != want.Status.Phase) {
				t.Errorf("the API has %v %v", is.Labels, is.Status.Phase)
			}
		})
	}
}

// A Node that is there, but cannot be read, is as bad as one that cannot be created.
func TestACreationThatFindsAnUnreadableNodeFails(t *testing.T) {
	n, server, node := created(t)
	server.failsWith(errRefused, "get nodes")
	if got, isNew, err := n.create(t.Context(), node); err == nil || isNew || got != nil {
		t.Errorf("it gives %v, created %v, no error", got, isNew)
	}
}

// Only what tells something wakes: not a new version alone, but a deletion with its UID.
func TestWatch(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t, nodeOf(heard("wire"), ""))
		n := newNodes(p.api, NoMeter, zap.NewNop())
		seen := make(chan types.UID, 10)
		must(t, n.watch(func(string) {}, func(_ string, lost types.UID) { seen <- lost }))
		stop := make(chan struct{})
		go n.informer.Run(stop)
		defer func() { close(stop); synctest.Wait() }()
		p.owner.loses(shop)
		p.passes(time.Second)
		for len(seen) > 0 {
			<-seen
		}
		p.inCluster(func(n *corev1.Node) { n.Generation++ })
		synctest.Wait()
		if len(seen) > 0 {
			t.Error("a change that tells nothing is told")
		}
		p.inCluster(func(n *corev1.Node) { n.Labels["a"] = "b" })
		p.inCluster(func(n *corev1.Node) { n.Status.Phase = corev1.NodeTerminated })
		uid := p.node().UID
		must(t, p.api.CoreV1().Nodes().Delete(t.Context(), shopNode, metav1.DeleteOptions{}))
		synctest.Wait()
		var got []types.UID
		for len(seen) > 0 {
			got = append(got, <-seen)
		}
		if !slices.Equal(got, []types.UID{"", "", uid}) {
			t.Errorf("told %q", got)
		}
	})
}

func TestAddressOfANodeThatIsNotThere(t *testing.T) {
	n, _, node := created(t)
	if got := n.address(node.Name); got != "" || n.get(node.Name) != nil {
		t.Errorf("the cache has nothing, and gives %q", got)
	}
	node.Status.Addresses = nil
	must(t, n.informer.GetStore().Add(node))
	if got := n.address(node.Name); got != "" {
		t.Errorf("without an address it gives %q", got)
	}
}

// A Node that is not in the cache and changes while it is written is read anew, or each write
// would conflict.
func TestAForeignNodeThatChangesBecomesTheBases(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		foreign := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: shopNode, UID: "theirs"}}
		p := running(t, foreign)
		p.api.before("patch nodes", func() {
			p.inCluster(func(n *corev1.Node) {
				n.Spec.Taints = []corev1.Taint{{Key: "theirs", Effect: corev1.TaintEffectNoSchedule}}
			})
		})
		p.beats()
		p.passes(5 * time.Second)
		if got := p.node(); got.UID != "theirs" || len(got.Spec.Taints) != 3 || !describesShop(got) {
			t.Errorf("it is %v %v", got.ObjectMeta, got.Spec.Taints)
		}
	})
}

// A Node shows the API server's version, and follows it.
func TestANodeShowsTheServersVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, touchedOften, nil)
		p.api.serves("v1.36.4")
		p.runs()
		p.serves()
		if got := p.node().Status.NodeInfo.KubeletVersion; got != "v1.36.4-module-controller-dev" {
			t.Errorf("it is %q", got)
		}
		p.api.serves("v1.37.0")
		for range 30 {
			p.beats()
			p.passes(30 * time.Second)
		}
		if got := p.node().Status.NodeInfo.KubeletVersion; got != "v1.37.0-module-controller-dev" {
			t.Errorf("a quarter of an hour later it is %q", got)
		}
	})
}

// A version that cannot be read keeps nothing from being served.
func TestABaseIsServedWithoutTheServersVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		p.api.failsWith(errRefused, "get version")
		p.runs()
		p.serves()
		if got := p.node().Status.NodeInfo.KubeletVersion; got != "v0.0.0-module-controller-dev" {
			t.Errorf("it is %q", got)
		}
	})
}

// The watch of Nodes is behind from when one was created or patched until the cache shows it.
func TestANodeThatIsNotShownIsLag(t *testing.T) {
	client := newAPI()
	n := newNodes(client, noMeter{}, zap.NewNop())
	later := func() time.Duration { return n.lag.At(time.Now().Add(time.Minute)) }
	seen := func(node *corev1.Node) {
		t.Helper()
		must(t, n.informer.GetIndexer().Add(node))
		if lag := later(); lag != 0 {
			t.Errorf("the cache has what was written, and is %s behind", lag)
		}
	}
	behind := func() {
		t.Helper()
		if lag := later(); lag < time.Minute-time.Second {
			t.Errorf("the cache has not what was written a minute ago, and is %s behind", lag)
		}
	}
	node, _, err := n.create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: shopNode}})
	must(t, err)
	behind()
	seen(node)
	want := node.DeepCopy()
	want.Labels = map[string]string{"team": "x"}
	node, _, err = n.patch(t.Context(), node, want)
	must(t, err)
	behind()
	seen(node)
}
