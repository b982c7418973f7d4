package provider

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Of each kind no more is remembered than HistoryLimit, and the newest is.
func TestHistoryIsBounded(t *testing.T) {
	h, err := newHistory(3)
	must(t, err)
	id := func(i int) tunnel.BaseID { return tunnel.BaseID{Env: "dev", Identity: fmt.Sprint(i)} }
	for i := range 10 {
		h.remember(id(i), map[tunnel.ModuleKey]plan.Failure{orders: {Count: i}})
		h.installed.Add(id(i), map[tunnel.ModuleKey]bool{orders: true})
	}
	for kind, n := range map[string]int{"failures": h.failures.Len(), "installed": h.installed.Len()} {
		if n != 3 {
			t.Errorf("of %s it has %d", kind, n)
		}
	}
	pods := []plan.Pod{{Pod: podOn("orders")}}
	if got := h.recall(id(9), pods); got[orders].Count != 9 {
		t.Errorf("the newest failure is %v", got)
	}
	if got := h.recall(id(1), pods); len(got) > 0 {
		t.Errorf("an old one is there still: %v", got)
	}
	if _, err := newHistory(0); err == nil {
		t.Error("one that remembers nothing is accepted")
	}
}

// Only the failures of what pods want are recalled, and those of that base.
func TestRecallGivesWhatPodsWant(t *testing.T) {
	h, err := newHistory(10)
	must(t, err)
	stock := tunnel.ModuleKey{Name: "stock", Version: "1"}
	failed := plan.Failure{Purpose: plan.Purpose{Verb: tunnel.InstallModule, URL: "file:///orders.jar"}, Count: 2, Message: "no space"}
	h.remember(shop, map[tunnel.ModuleKey]plan.Failure{orders: failed, stock: {Count: 1}})
	pods := []plan.Pod{{Pod: podOn("orders")}}
	if diff := cmp.Diff(map[tunnel.ModuleKey]plan.Failure{orders: failed}, h.recall(shop, pods)); diff != "" {
		t.Errorf("recalled (-want +got):\n%s", diff)
	}
	if got := h.recall(tunnel.BaseID{Env: "dev", Identity: "other"}, pods); len(got) > 0 {
		t.Errorf("of another base it recalls %v", got)
	}
	if got := h.recall(shop, nil); len(got) > 0 {
		t.Errorf("without pods it recalls %v", got)
	}
}

// A claim without a Node is given up once it was so for long enough, counted anew then.
func TestGivesUp(t *testing.T) {
	h, err := newHistory(10)
	must(t, err)
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		after time.Duration
		want  bool
	}{{0, false}, {39 * time.Second, false}, {40 * time.Second, true}, {41 * time.Second, false}, {81 * time.Second, true}} {
		if got := h.givesUp(shop, noon.Add(c.after), 40*time.Second); got != c.want {
			t.Errorf("after %s: %v", c.after, got)
		}
	}
}

// However many claims have no Node, each is given up in time, and nothing is kept of one that
// has a Node or is not ours any more.
func TestEachClaimWithoutANodeIsGivenUp(t *testing.T) {
	h, err := newHistory(1)
	must(t, err)
	noon := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
	const many = 5000
	given := 0
	for _, after := range []time.Duration{0, time.Second, 40 * time.Second} {
		for i := range many {
			if h.givesUp(tunnel.BaseID{Env: "dev", Identity: fmt.Sprint(i)}, noon.Add(after), 40*time.Second) {
				given++
			}
		}
	}
	if given != many || len(h.unheard) != 0 {
		t.Errorf("%d of %d are given up, %d are kept", given, many, len(h.unheard))
	}
	h.givesUp(shop, noon, time.Minute)
	h.heard(shop)
	if h.givesUp(shop, noon.Add(time.Hour), time.Minute) || len(h.unheard) != 1 {
		t.Error("the time goes on of one that had a Node meanwhile")
	}
}

// A module that fails is not tried at once because its pod is another one.
func TestAFailureOutlivesItsPod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.failure = "no space" })
		p.binds(podOn("orders"))
		p.passes(90 * time.Second) // it fails again and again
		before := p.base.log()
		if got := waits(p.pod("orders")); got != plan.ReasonInstallBackOff || len(before) < 3 {
			t.Fatalf("the pod waits for %q after %v", got, before)
		}
		p.terminates("orders")
		p.passes(10 * time.Second) // until the base is looked at: nothing runs that virtual-kubelet would end
		if p.pod("orders") != nil {
			t.Fatal("the pod is there still")
		}
		p.base.set(func(b *base) { b.failure = "" })
		p.passes(20 * time.Second)
		p.binds(podOn("next"))
		p.passes(5 * time.Second)
		if got := waits(p.pod("next")); got != plan.ReasonInstallBackOff || len(p.base.log()) != len(before) {
			t.Errorf("the next pod waits for %q, the base did %v", got, p.base.log())
		}
		p.passes(5 * time.Minute)
		if !p.base.has(orders) {
			t.Error("it was never tried again")
		}
	})
}
