package provider

import (
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// places knows where workloads are, and tells of changes.
type places struct {
	mu sync.Mutex
	// mu guards what follows
	at      map[string]plan.Place
	changed func(string)
	refused []string // workload, reason and why
}

func (p *places) Place(workload string) plan.Place {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.at[workload]
}

func (p *places) Watch(changed func(string)) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.changed = changed
	return nil
}

func (p *places) Refused(workload, reason, why string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.refused = append(p.refused, workload+" "+reason+": "+why)
}

func (p *places) set(workload string, at plan.Place) {
	p.mu.Lock()
	if p.at == nil {
		p.at = map[string]plan.Place{}
	}
	p.at[workload] = at
	changed := p.changed
	p.mu.Unlock()
	if changed != nil {
		changed(workload)
	}
}

// placed runs a provider with a base that is bound to the workload ns/shop-0/1, with a module.
func placed(t *testing.T) (*testProvider, *places) {
	t.Helper()
	p, at := newTestProvider(t, Config{}, nil), &places{}
	at.set("ns/shop-0/1", plan.Place{Zone: "a", Region: "r"})
	p.deps.Workloads = at
	p.runs()
	p.beats(overHTTP, of("ns/shop-0/1"))
	p.passes(3 * time.Second)
	p.installs(podOn("orders"))
	return p, at
}

func isReady(pod *corev1.Pod) bool {
	return slices.ContainsFunc(pod.Status.Conditions, func(c corev1.PodCondition) bool {
		return c.Type == corev1.PodReady && c.Status == corev1.ConditionTrue
	})
}

// A base is out of service as soon as its Pod is being deleted, and its modules are placed
// anew once it is gone.
func TestABaseGoesWithItsPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, at := placed(t)
		node := p.node()
		if node.Labels[corev1.LabelTopologyZone] != "a" || node.Labels[corev1.LabelTopologyRegion] != "r" {
			t.Errorf("its Node is in %v", node.Labels)
		}
		at.set("ns/shop-0/1", plan.Place{Workload: plan.WorkloadEnds})
		p.passes(200 * time.Millisecond)
		if p.notReady() != plan.ReasonBasePodDeleted || isReady(p.pod("orders")) {
			t.Errorf("its Pod is being deleted, and its Node is %q, its module's pod %+v", p.notReady(), p.pod("orders").Status.Conditions)
		}
		p.base.set(func(b *base) { b.silent = true })
		at.set("ns/shop-0/1", plan.Place{Workload: plan.WorkloadEnded})
		p.passes(30 * time.Second)
		if p.node() == nil || p.pod("orders") == nil {
			t.Error("it is given up before it was silent for long")
		}
		p.passes(15 * time.Second)
		if p.node() != nil || p.pod("orders") != nil || !p.owner.isRetired(shop) {
			t.Errorf("it is gone, and its Node is %v, its module's pod %v", p.node(), p.pod("orders"))
		}
	})
}

// A base whose Pod is being deleted displaces the pods that a controller makes anew, once
// Kubernetes places no others there; its module stays, and a deletion that fails is tried again.
func TestABaseThatEndsDisplacesItsPods(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, at := newTestProvider(t, Config{}, nil), &places{}
		p.deps.Workloads = at
		p.runs()
		p.beats(overHTTP, of("ns/shop-0/1"))
		p.passes(3 * time.Second)
		pod := podOn("orders")
		pod.OwnerReferences = []metav1.OwnerReference{{Kind: "ReplicaSet", Controller: new(true)}}
		p.installs(pod)
		at.set("ns/shop-0/1", plan.Place{Workload: plan.WorkloadEnds})
		p.passes(3 * time.Second)
		if p.pod("orders") == nil {
			t.Fatal("it is deleted while another one could be placed there")
		}
		p.api.failsWith(errors.New("away"), "delete pods")
		p.inCluster(func(n *corev1.Node) {
			n.Spec.Taints = append(n.Spec.Taints, corev1.Taint{Key: corev1.TaintNodeNotReady, Effect: corev1.TaintEffectNoSchedule})
		})
		p.passes(time.Second)
		if told := p.events.has(told{"Pod", "orders", plan.ReasonBasePodDeleted}); p.pod("orders") == nil || told != "" {
			t.Errorf("it could not be deleted, and told is %q", told)
		}
		p.api.failsWith(nil, "delete pods")
		p.passes(2 * time.Second)
		if told := p.events.has(told{"Pod", "orders", plan.ReasonBasePodDeleted}); p.pod("orders") != nil || !strings.HasPrefix(told, "Normal Deleted, so that another") {
			t.Errorf("the pod is %v, told is %q", p.pod("orders"), told)
		}
	})
}

// A Pod leaves our sight when its labels change, too: while something answers there, no pod is
// deleted.
func TestABaseThatAnswersIsNotGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, at := placed(t)
		at.set("ns/shop-0/1", plan.Place{Workload: plan.WorkloadEnded})
		p.passes(5 * time.Minute)
		if p.node() == nil || p.pod("orders") == nil || !p.base.has(orders) {
			t.Fatalf("its Node is %v, it did %v", p.node(), p.base.log())
		}
		at.set("ns/shop-0/1", plan.Place{})
		p.beats(overHTTP, of("ns/shop-0/1"))
		p.passes(10 * time.Second)
		if p.notReady() != "" || !isReady(p.pod("orders")) {
			t.Errorf("it is back, and its Node is %q, its module's pod %+v", p.notReady(), p.pod("orders").Status.Conditions)
		}
	})
}

// A registry finds the bases that are bound to a workload.
func TestARegistryFindsBasesByTheirWorkload(t *testing.T) {
	r := newRegistry()
	add := func(identity string) *entry {
		id := tunnel.BaseID{Env: "dev", Identity: identity}
		return r.add(id, func() *entry { return &entry{id: id, node: identity} })
	}
	a, b := add("a"), add("b")
	r.bind(a, "w")
	r.bind(a, "w")
	r.bind(b, "w")
	if got := r.boundTo("w"); len(got) != 2 {
		t.Errorf("to w are bound %v", got)
	}
	r.bind(a, "v")
	r.remove(b)
	r.bind(b, "w") // it is known no more
	if w, v := r.boundTo("w"), r.boundTo("v"); len(w) != 0 || len(v) != 1 || len(r.bound) != 1 {
		t.Errorf("to w are bound %v, to v %v, to all %v", w, v, r.bound)
	}
	r.bind(a, "")
	if len(r.bound) != 0 || len(r.boundTo("")) != 0 {
		t.Errorf("bound to nothing are %v", r.bound)
	}
}
