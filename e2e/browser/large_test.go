//go:build browser

package browser

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/controlplane"
	"module-controller/e2e/world"
)

const (
	prefix = "virtual-kubelet.koupleless.io/"
	// writers is how many objects are created at a time.
	writers = 16
)

// TestALargeFleet measures how soon the page is there with 10,000 bases, or with as many as
// BROWSER_BASES says: by the browser's own clock, from the click until the page is laid out
// and painted. The bases are another member's, which the test plays: what a member has in
// memory of them is the same, and nobody has to heartbeat for them.
func TestALargeFleet(t *testing.T) {
	bases := world.Setting(t, "BROWSER_BASES", 10_000, 100, strconv.Atoi)
	own := world.StartCluster(t)
	w := own.New(t).WithBroker()
	w.Must(own.Plane.Freeze(controlplane.ControllerManager)) // it would miss their heartbeats
	w.Cleanup(func() { w.Must(own.Plane.Thaw(controlplane.ControllerManager)) })
	playMember(w, own, bases)
	w.WithController("LOG_LEVEL=info")
	tab := newTab(t, w, desktop)
	tab.eventually(func() error {
		tab.open(tab.page(0))
		if text := read[string](tab, `document.querySelector(".sums").textContent`); !strings.Contains(text, fmt.Sprintf("of %d", bases)) {
			return fmt.Errorf("the page sums up %q, want %d bases", text, bases)
		}
		return nil
	})
	for range 5 {
		tab.open(tab.page(0) + "?page=" + strconv.Itoa(bases/100))
		is := give(tab, chromedp.Evaluate[timing](timed, chromedp.EvalAwaitPromise))
		t.Logf("%d bases, desktop: first byte after %.0f ms, first painted %.0f ms, loaded %.0f ms; %.0f bytes, %d elements", bases, is.FirstByte, is.Painted, is.Loaded, is.Bytes, is.Elements)
		if is.Elements > 3000 || is.Bytes > 100_000 {
			t.Errorf("%d elements, %v bytes: the page grows with the fleet", is.Elements, is.Bytes)
		}
	}
	if shown := len(owners(tab)); shown != 50 {
		t.Errorf("%d bases are listed, want 50", shown)
	}
	tab.checkQuiet()
}

// timing is when the page was there, in milliseconds since the navigation began.
type timing struct {
	FirstByte, Painted, Loaded, Bytes float64
	Elements                          int
}

const timed = `(async () => {
	const paint = () => performance.getEntriesByName("first-contentful-paint")[0];
	const navigation = () => performance.getEntriesByType("navigation")[0];
	while (!paint() || !navigation().loadEventEnd) await new Promise(requestAnimationFrame);
	const n = navigation();
	return {FirstByte: n.responseStart, Painted: paint().startTime, Loaded: n.loadEventEnd, Bytes: n.decodedBodySize, Elements: document.querySelectorAll("*").length};
})()`

// playMember has the Leases of a member and of its bases, with their Nodes. A base in a
// hundred is not Ready.
func playMember(w *world.World, own *world.Cluster, bases int) {
	w.Helper()
	const holder = "module-controller-9_0123abcd"
	now, long := metav1.NowMicro(), int32(3600)
	lease := func(name string) *coordinationv1.Lease {
		return &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{
			HolderIdentity: new(holder), LeaseDurationSeconds: &long, AcquireTime: &now, RenewTime: &now, LeaseTransitions: new(int32(1)),
		}}
	}
	member := lease("module-controller-9")
	member.Labels = map[string]string{prefix + "component": "module-controller"}
	member.Annotations = map[string]string{prefix + "state": "serving", prefix + "tunnels": "up", prefix + "environments": w.Env, prefix + "bases-owned": strconv.Itoa(bases)}
	_, err := w.MemberLeases().Create(w.Context(), member, metav1.CreateOptions{})
	w.Must(err)

	create := func(ctx context.Context, n int) error {
		name := w.NodeName(world.BaseID(n))
		of := lease(name)
		of.Labels = map[string]string{prefix + "component": "vnode-lease", prefix + "env": w.Env, prefix + "owner": "module-controller-9", prefix + "state": "owned", prefix + "installation": "module-controller"}
		if _, err := w.BaseLeases().Create(ctx, of, metav1.CreateOptions{}); err != nil {
			return err
		}
		_, err := own.Client.CoreV1().Nodes().Create(ctx, nodeOf(w, name, n), metav1.CreateOptions{})
		return err
	}
	began := time.Now()
	var wait sync.WaitGroup
	for first := range writers {
		wait.Go(func() {
			for n := first + 1; n <= bases; n += writers {
				if err := create(w.Context(), n); err != nil {
					w.Error(err)
					return
				}
			}
		})
	}
	wait.Wait()
	w.Logf("%d Leases and Nodes were created in %s", 2*bases, time.Since(began).Round(time.Second))
}

// nodeOf is the Node of the n-th base, by a tunnel that no replica here serves: it is seen and
// left alone.
func nodeOf(w *world.World, name string, n int) *corev1.Node {
	ready := corev1.NodeCondition{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "BaseReady", LastTransitionTime: metav1.Now(), LastHeartbeatTime: metav1.Now()}
	if n%100 == 0 {
		ready.Status, ready.Reason, ready.Message = corev1.ConditionFalse, "BaseSilent", "Nothing was heard of the base for 40s"
	}
	return &corev1.Node{
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
			prefix + "component": "vnode", prefix + "env": w.Env, "vnode.koupleless.io/tunnel": "http_tunnel_provider",
			"base.koupleless.io/name": "orders", "vnode.koupleless.io/name": "orders", "base.koupleless.io/version": "1.0.0", "vnode.koupleless.io/version": "1.0.0",
		}},
		Status: corev1.NodeStatus{Conditions: []corev1.NodeCondition{ready}},
	}
}
