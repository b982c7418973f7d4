package provider

import (
	"testing"
	"testing/synctest"
	"time"

	corev1 "k8s.io/api/core/v1"
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
			t.Errorf("deleted, the base has %v, the API %v", p.base.modules, p.pod("orders"))
		}
		p.passes(time.Hour)
		if p.notReady() != "" || p.node().UID == "" {
			t.Errorf("an hour later it is %s", p.notReady())
		}
	})
}

var _ = corev1.PodRunning
