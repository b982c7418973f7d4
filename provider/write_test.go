package provider

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// deleteNow are the options of a deletion without grace.
func deleteNow() *metav1.DeleteOptions { return metav1.NewDeleteOptions(0) }

// What happens to a pod's module is told on the pod.
func TestAFailureIsToldOnThePod(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.failure = "no space" })
		p.binds(podOn("orders"))
		p.passes(3 * time.Second)
		if got := p.events.has(told{"Pod", "orders", plan.ReasonInstallFailed}); !strings.HasPrefix(got, corev1.EventTypeWarning) || !strings.Contains(got, "no space") {
			t.Errorf("the Event is %q of %v", got, p.events.events)
		}
		if got := p.pod("orders").Status; waits(p.pod("orders")) != plan.ReasonInstallFailed || got.Phase == corev1.PodRunning {
			t.Errorf("the pod shows %+v", got)
		}
	})
}

// Each status that the API server took is told to who observes, with what the pod showed before.
func TestWhatWasWrittenIsTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.failure = "no space" })
		p.binds(podOn("orders"))
		p.passes(3 * time.Second)
		all := p.statuses.of("orders")
		if len(all) == 0 || all[0].was != "" || all[len(all)-1].is != plan.ReasonInstallFailed {
			t.Fatalf("told: %+v", all)
		}
		p.base.set(func(b *base) { b.failure = "" })
		p.passes(time.Minute)
		if last := p.statuses.of("orders"); last[len(last)-1].is != "" || last[len(last)-1].was == "" {
			t.Errorf("it serves, told: %+v", last)
		}
	})
}

// What concerns no pod is told on the Node.
func TestAnUnmanagedModuleIsToldOnTheNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.base.set(func(b *base) { b.modules[tunnel.ModuleKey{Name: "foreign", Version: "7"}] = tunnel.Activated })
		p.passes(time.Minute)
		if got := p.events.has(told{"Node", shopNode, "UnmanagedModule"}); !strings.Contains(got, "foreign:7") {
			t.Errorf("the Event is %q of %v", got, p.events.events)
		}
		if log := p.base.log(); len(log) > 0 {
			t.Errorf("the base did %v", log)
		}
	})
}

// An Event on a pod that is gone meanwhile is told to nobody.
func TestTell(t *testing.T) {
	pod := podOn("orders")
	for _, c := range []struct {
		name string
		pod  *corev1.Pod
		e    plan.Event
		want told
		text string
	}{
		{"on its pod", pod, plan.Event{Pod: "u", Reason: "A", Message: "m"}, told{"Pod", "orders", "A"}, "Normal m"},
		{"a warning", pod, plan.Event{Pod: "u", Warning: true, Reason: "A", Message: "m"}, told{"Pod", "orders", "A"}, "Warning m"},
		{"on the Node", nil, plan.Event{Reason: "A", Message: "m"}, told{"Node", shopNode, "A"}, "Normal m"},
		{"on a pod that is gone", nil, plan.Event{Pod: "u", Reason: "A", Message: "m"}, told{"Node", shopNode, "A"}, ""},
	} {
		r := &recorder{events: map[told]string{}}
		tell(r, shopNode, c.pod, c.e)
		want := 1
		if c.text == "" {
			want = 0
		}
		if got := r.has(c.want); got != c.text || len(r.events) != want {
			t.Errorf("%s: %v", c.name, r.events)
		}
	}
	if ref := nodeRef(shopNode); ref.Kind != "Node" || ref.APIVersion != "v1" || string(ref.UID) != shopNode {
		t.Errorf("a Node is referred to as %+v", ref)
	}
}

// A pod whose module cannot be uninstalled stays in the API, however long.
func TestAPodStaysUntilItsModuleIsGone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.installs(podOn("orders"))
		p.base.set(func(b *base) { b.stuck = true })
		p.terminates("orders")
		p.passes(30 * time.Minute)
		if p.pod("orders") == nil || !p.base.has(orders) {
			t.Fatalf("the pod is %v, the base did %v", p.pod("orders"), p.base.log())
		}
		p.wire.resumes(shop)
		p.passes(time.Minute)
		if p.pod("orders") != nil || p.base.has(orders) {
			t.Errorf("the pod is %v, the base did %v", p.pod("orders"), p.base.log())
		}
	})
}

// A pod that cannot be deleted is deleted once it can be.
func TestAPodIsFinishedOnceItCanBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := running(t)
		p.serves()
		p.installs(podOn("orders"))
		p.api.failsWith(errRefused, "delete pods")
		p.terminates("orders")
		p.passes(10 * time.Second)
		if p.pod("orders") == nil || p.base.has(orders) {
			t.Fatalf("the pod is %v, the base did %v", p.pod("orders"), p.base.log())
		}
		p.api.failsWith(nil, "delete pods")
		p.passes(10 * time.Second)
		if p.pod("orders") != nil {
			t.Error("the pod is there still")
		}
	})
}
