package provider

import (
	"context"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// The whole way: a base that is heard gets a Node, a pod bound to it gets its module, and
// the module goes with the pod.
func TestABaseIsANodeAndAModuleIsAPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		if got := p.node(); got.Labels["vnode.koupleless.io/name"] != "shop" || got.Status.Capacity.Memory().Value() != 1<<28 || got.Status.Capacity.Cpu().Value() != 2 {
			t.Errorf("its Node is %v, %v", got.Labels, got.Status.Capacity)
		}
		p.installs(podOn("orders"))
		if got := p.pod("orders").Status; got.PodIP != "192.0.2.1" || len(got.ContainerStatuses) != 1 || !got.ContainerStatuses[0].Ready {
			t.Errorf("the pod shows %+v", got)
		}
		p.terminates("orders")
		p.passes(3 * time.Second)
		if p.base.has(orders) || p.pod("orders") != nil {
			t.Errorf("deleted, the base did %v, the API has %v", p.base.log(), p.pod("orders"))
		}
		p.passes(time.Hour) // it answers when it is polled
		if p.notReady() != "" {
			t.Errorf("an hour later it is %s", p.notReady())
		}
	})
}

// A pod that is bound before its base is heard gets its module when it is.
func TestAPodMayBeThereBeforeItsBase(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.binds(podOn("orders"))
		p.passes(time.Minute)
		if got := p.pod("orders").Status; len(got.Conditions) > 0 {
			t.Errorf("nobody serves it, and it shows %+v", got)
		}
		p.beats()
		p.passes(5 * time.Second)
		if got := p.pod("orders").Status; got.Phase != corev1.PodRunning || !p.base.has(orders) {
			t.Errorf("it shows %+v", got)
		}
	})
}

// Many bases are served side by side, and one that hangs delays no other.
func TestManyBasesAreServedSideBySide(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{Workers: 2}, nil)
		p.runs()
		all := map[tunnel.BaseID]*base{}
		for _, name := range []string{"a", "b", "c", "d", "e", "f"} {
			id := tunnel.BaseID{Env: "test", Identity: name}
			all[id] = &base{modules: map[tunnel.ModuleKey]tunnel.State{}, silent: name == "a"}
			p.wire.mu.Lock()
			p.wire.bases[id] = all[id]
			p.wire.mu.Unlock()
			p.beats(func(h *tunnel.Heartbeat) { h.Base = id })
			pod := podOn("orders-" + name)
			pod.Spec.NodeName = "vnode." + name + ".test"
			p.binds(pod)
		}
		p.passes(10 * time.Second)
		for id, b := range all {
			if hangs := id.Identity == "a"; b.has(orders) == hangs || p.HasNode(id) == hangs {
				t.Errorf("%s did %v, has a Node: %v", id, b.log(), p.HasNode(id))
			}
		}
		if got := p.Census(); got.Ready != 6 || got.Modules != 5 || got.Unmanaged+got.NotReady+got.Queued != 0 {
			t.Errorf("the census is %+v", got)
		}
	})
}

// The census has what is served here, as it is.
func TestCensus(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		p.Changed(shop)
		if got := p.Census(); got != (Census{Queued: 1}) {
			t.Errorf("before it runs: %+v", got)
		}
		p.base.modules[tunnel.ModuleKey{Name: "foreign", Version: "1"}] = tunnel.Activated
		p.base.modules[tunnel.ModuleKey{Name: "broken", Version: "1"}] = tunnel.Broken
		p.runs()
		p.serves()
		p.installs(podOn("orders"))
		if got := p.Census(); got != (Census{Ready: 1, Modules: 2, Unmanaged: 2}) {
			t.Errorf("served: %+v", got)
		}
		p.base.set(func(b *base) { b.silent = true })
		p.passes(time.Minute)
		if got := p.Census(); got.NotReady != 1 || got.Ready != 0 {
			t.Errorf("silent: %+v", got)
		}
		p.passes(10 * time.Minute)
		if got := p.Census(); got != (Census{}) {
			t.Errorf("gone: %+v", got)
		}
	})
}

// A base whose heartbeats end is asked before it is stale, and stays Ready while it answers;
// when it does not, its Node is NotReady once it was silent for STALE_AFTER.
func TestSilenceIsNoticed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		for range 300 { // seconds in which it only answers
			if p.passes(time.Second); p.notReady() != "" {
				t.Fatalf("it answers, and is %s", p.notReady())
			}
		}
		p.base.set(func(b *base) { b.silent = true })
		fell := time.Now()
		for p.notReady() == "" && time.Since(fell) < time.Minute {
			p.passes(100 * time.Millisecond)
		}
		if took := time.Since(fell); p.notReady() != plan.ReasonBaseSilent || took < 19*time.Second || took > 41*time.Second {
			t.Errorf("after %s it is %q", took, p.notReady())
		}
	})
}

// While our own link is down nobody ages; when it is up again, every base is asked.
func TestWhileOurLinkIsDownNobodyAges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.silent = true }) // nothing comes through
		p.Link(tunnel.Link{Tunnel: "wire", Since: time.Now()})
		p.passes(time.Hour)
		if p.notReady() != "" || p.base.toldWithin(50*time.Minute) {
			t.Errorf("it is %q", p.notReady())
		}
		p.base.set(func(b *base) { b.silent = false })
		p.Link(tunnel.Link{Tunnel: "wire", Up: true, Since: time.Now()})
		p.passes(time.Second)
		if !p.base.toldWithin(time.Second) || p.notReady() != "" {
			t.Errorf("it was asked: %v, it is %q", p.base.toldWithin(time.Second), p.notReady())
		}
	})
}

// ledger is a Meter that keeps what gauges would show.
type ledger struct {
	noMeter
	mu sync.Mutex
	// mu guards what follows
	links     map[string]bool
	conflicts int
}

func (l *ledger) Link(tunnel string, up bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.links[tunnel] = up
}

func (l *ledger) Conflict() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conflicts++
}

// A conflict is counted once while it lasts, and links as they are.
func TestMeters(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		meter := &ledger{links: map[string]bool{}}
		p.meter = meter
		p.runs()
		p.serves()
		p.Link(tunnel.Link{Tunnel: "other"})
		p.Link(tunnel.Link{Tunnel: "wire", Up: true, Since: time.Now()})
		for i := range 20 {
			p.beats(func(h *tunnel.Heartbeat) { h.Hostname = []string{"h", "another"}[i%2] })
			p.passes(5 * time.Second)
		}
		if p.notReady() != plan.ReasonIdentityConflict || meter.conflicts != 1 || !meter.links["wire"] || meter.links["other"] {
			t.Errorf("the Node is %q, %d conflicts, links %v", p.notReady(), meter.conflicts, meter.links)
		}
	})
}

// Statuses are written only under a claim that is held now.
func TestMayWrite(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		if p.mayWrite(shopNode) {
			t.Error("a Node that nobody knows may be written")
		}
		p.serves()
		if !p.mayWrite(shopNode) {
			t.Error("a Node that is served may not be written")
		}
		p.owner.suspends(shop)
		if p.mayWrite(shopNode) {
			t.Error("a Node may be written while its claim is suspended")
		}
	})
}

// New tells all that is wrong, and makes nothing then.
func TestNewChecksWhatItIsGiven(t *testing.T) {
	whole := Deps{
		Client: newAPI(), Metadata: newMetadata(), Owner: newOwner(), Recorder: &recorder{}, Log: zap.NewNop(),
		Tunnels: []tunnel.Tunnel{newWire("wire")}, Envs: []string{"dev"},
	}
	for name, c := range map[string]struct {
		cfg    Config
		change func(*Deps)
		wants  []string
	}{
		"its settings": {Config{Workers: -1, HistoryLimit: -1}, func(*Deps) {}, []string{"VNODE_WORKER_NUM", "HISTORY_LIMIT"}},
		"no client":    {Config{}, func(d *Deps) { d.Client = nil }, []string{"client"}},
		"no metadata":  {Config{}, func(d *Deps) { d.Metadata = nil }, []string{"metadata"}},
		"no owner":     {Config{}, func(d *Deps) { d.Owner = nil }, []string{"owner"}},
		"no recorder":  {Config{}, func(d *Deps) { d.Recorder = nil }, []string{"recorder"}},
		"no logger":    {Config{}, func(d *Deps) { d.Log = nil }, []string{"logger"}},
		"no tunnel":    {Config{}, func(d *Deps) { d.Tunnels = nil }, []string{"tunnel"}},
		"environments": {Config{}, func(d *Deps) { d.Envs = []string{"a_b", "dev", "C"} }, []string{"a_b", "C"}},
	} {
		t.Run(name, func(t *testing.T) {
			deps := whole
			c.change(&deps)
			p, err := New(c.cfg, deps)
			if err == nil || p != nil {
				t.Fatalf("it is accepted: %v", p)
			}
			for _, part := range c.wants {
				if !strings.Contains(err.Error(), part) {
					t.Errorf("it does not say %q: %v", part, err)
				}
			}
		})
	}
	p, err := New(Config{}, whole) // without a Meter
	must(t, err)
	p.queue.ShutDown()
}

// A replica that ends before its caches are filled ends all the same, without an error,
// and is never ready.
func TestRunEndsBeforeTheCachesAreFilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		p.api.failsWith(errRefused, "list nodes")
		ctx, end := context.WithTimeoutCause(t.Context(), time.Minute, errRefused) // however it ends
		defer end()
		if err := p.Run(ctx); err != nil {
			t.Errorf("run: %v", err)
		}
		select {
		case <-p.Ready():
			t.Error("it is ready")
		default:
		}
	})
}

// What runs no more cannot be run again: no retry can mend that. Nothing is served then.
func TestRunReturnsAnErrorWhereNoRetryHelps(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		ctx, end := context.WithCancel(t.Context())
		end()
		must(t, p.Run(ctx))
		if err := p.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "watch nodes") {
			t.Errorf("run again: %v", err)
		}
	})
}

// What ends while a base is worked on is no failure, and its claims stay for others to
// take: the Node and the pods are as they were.
func TestAnEndOfRunChangesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newTestProvider(t, Config{}, nil)
		ctx, end := context.WithCancel(t.Context())
		var run sync.WaitGroup
		run.Go(func() { must(t, p.Run(ctx)) })
		<-p.Ready()
		p.serves()
		p.installs(podOn("orders"))
		p.api.before("patch nodes", end)
		p.beats(func(h *tunnel.Heartbeat) { h.Version = "2" })
		run.Wait()
		if p.node() == nil || p.pod("orders").Status.Phase != corev1.PodRunning || !p.base.has(orders) || p.owner.isRetired(shop) {
			t.Errorf("the Node is %v, the pod %v", p.node(), p.pod("orders"))
		}
		if failed := p.logs.FilterMessage("sync failed, retrying").All(); len(failed) > 0 {
			t.Errorf("it is a failure: %v", failed)
		}
	})
}

// The cache keeps what is read from it, and no more.
func TestCachesHaveNoManagedFields(t *testing.T) {
	node := nodeOf(heard("wire"), "")
	node.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
	if got, err := withoutManagedFields(node); err != nil || len(got.(*corev1.Node).ManagedFields) > 0 {
		t.Errorf("kept are %v: %v", got, err)
	}
	if got, err := withoutManagedFields("x"); err != nil || got != "x" {
		t.Errorf("what is no object becomes %v: %v", got, err)
	}
}
