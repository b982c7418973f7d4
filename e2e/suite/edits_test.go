package suite

import (
	"fmt"
	"maps"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/world"
)

// Manual edits of Leases are reverted, and no module notices.
func TestManualEditsAreReverted(t *testing.T) {
	t.Parallel()
	const bases = 12
	w := cluster.NewFleet(t, 2, bases)
	check := w.Undisturbed(bases)
	before := w.Owners()
	ended := w.Recorder.Fault("manual edits", "")
	for base, patch := range map[string]string{
		"base-0001": `{"spec":{"holderIdentity":"somebody"}}`,
		"base-0002": `{"spec":{"holderIdentity":""}}`,
		"base-0003": `{"spec":{"holderIdentity":null,"leaseTransitions":null,"renewTime":null}}`,
		"base-0004": `{"metadata":{"labels":null}}`,
		"base-0005": `{"spec":{"renewTime":"2020-01-01T00:00:00.000000Z"}}`,
	} {
		_, err := w.BaseLeases().Patch(t.Context(), w.NodeName(base), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		w.Must(err)
	}
	w.Must(w.BaseLeases().Delete(t.Context(), w.NodeName("base-0006"), metav1.DeleteOptions{}))
	w.Must(w.MemberLeases().Delete(t.Context(), "module-controller-1", metav1.DeleteOptions{}))
	// Sooner than if they were taken for another controller's: who owned them knows.
	w.Eventually(45*time.Second, func() error { return w.CheckLeases(bases) })
	ended()
	w.AwaitPlaced()
	for node, now := range w.Owners() {
		if now.Epoch < before[node].Epoch {
			t.Errorf("the epoch of %s fell from %d to %d", node, before[node].Epoch, now.Epoch)
		}
	}
	check()
}

// A Lease that is deleted is created again by its owner. The API server keeps track of who set
// what in it until the first renewal only: that would be a sixth of what renewals cost it.
func TestADeletedLeaseIsRecreated(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(1).WithController("LEASE_RENEW_INTERVAL=1s", "LEASE_DURATION=2s")
	w.AwaitNodesReady(1)
	name := w.NodeName("base-0001")
	was, err := w.BaseLeases().Get(t.Context(), name, metav1.GetOptions{})
	w.Must(err)
	w.Must(w.BaseLeases().Delete(t.Context(), name, metav1.DeleteOptions{}))
	w.Eventually(world.Timeout, func() error {
		again, err := w.BaseLeases().Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && (again.UID == was.UID || world.OwnerOf(*again) != world.OwnerOf(*was)) {
			err = fmt.Errorf("lease %+v, was %+v", again.Spec, was.Spec)
		}
		if err == nil && len(again.ManagedFields) > 0 {
			err = fmt.Errorf("the lease was not renewed, or with managed fields: %+v", again.ManagedFields)
		}
		return err
	})
}

// A Node that is deleted by hand is back within the Node monitor's grace: its pods stay,
// and so do their modules.
func TestADeletedNodeIsRecreated(t *testing.T) {
	t.Parallel()
	const bases, promised = 3, 40 * time.Second
	w := cluster.NewFleet(t, 2, bases)
	nodes, ready := world.UIDs(w.Nodes()), world.ReadySince(w.Pods("app=stock"))
	w.Must(cluster.Client.CoreV1().Nodes().Delete(t.Context(), w.NodeName("base-0002"), metav1.DeleteOptions{}))
	began := time.Now()
	w.Eventually(promised, func() error {
		now := world.UIDs(w.Nodes())
		if len(now) != bases || now[w.NodeName("base-0002")] == nodes[w.NodeName("base-0002")] {
			return fmt.Errorf("nodes %v, were %v", now, nodes)
		}
		return nil
	})
	t.Logf("it was back after %s", time.Since(began).Round(time.Millisecond))
	w.AwaitNodesReady(bases)
	w.AwaitListed()
	w.CheckReadySince(ready, "app=stock")
	if c := w.Counts(); c.Installs != bases || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases)
	}
}

// What users edit on a Node is kept, whatever the controller writes there and whoever
// owns the base.
func TestUserEditsOfANodeAreKept(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(2, "--name", "shop", "--version", "1", "--cluster", "north")
	w.WithReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=1s", "NODE_STATUS_INTERVAL=1s")
	w.AwaitNodesReady(2)
	w.AwaitPlaced()
	name := w.NodeName("base-0001")
	w.Kubectl("cordon", name)
	w.Kubectl("taint", "node", name, "team=a:NoSchedule")
	w.Kubectl("label", "node", name, "team=a")
	w.Kubectl("annotate", "node", name, "team=a")
	check := func(version string) {
		t.Helper()
		w.Eventually(world.Timeout, func() error { // it is written for other reasons meanwhile
			n, err := cluster.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
			if err == nil && n.Labels["base.koupleless.io/version"] != version {
				err = fmt.Errorf("the base's version is %s there", n.Labels["base.koupleless.io/version"])
			}
			return err
		})
		awaitHeartbeats(w, name)
		n, err := cluster.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		w.Must(err)
		taints := map[string]string{}
		for _, taint := range n.Spec.Taints {
			taints[taint.Key] = taint.Value
		}
		want := map[string]string{
			"schedule.koupleless.io/virtual-node": "True", "schedule.koupleless.io/node-env": w.Env,
			"team": "a", "node.kubernetes.io/unschedulable": "",
		}
		if !n.Spec.Unschedulable || n.Labels["team"] != "a" || n.Annotations["team"] != "a" || !maps.Equal(taints, want) || !world.NodeReady(*n) {
			t.Errorf("unschedulable %v, labels %v, annotations %v, taints %v, ready %v", n.Spec.Unschedulable, n.Labels, n.Annotations, taints, world.NodeReady(*n))
		}
	}
	check("1")
	w.Must(w.Fleet.Do("base-0001", "metadata?name=shop&version=2&cluster=north"))
	check("2")
	victim := w.Owners()[name].Holder
	w.Must(w.ReplicaOf(victim).Stop(world.StopTimeout))
	w.AwaitOwned(time.Second, 2, victim)
	check("2")
	w.Must(w.Fleet.Do("base-0001", "metadata?name=shop&version=3&cluster=north"))
	check("3")
}

// awaitHeartbeats waits until a Node's status was written twice more.
func awaitHeartbeats(w *world.World, name string) {
	w.Helper()
	heartbeat := func() time.Time {
		n, err := cluster.Client.CoreV1().Nodes().Get(w.Context(), name, metav1.GetOptions{})
		w.Must(err)
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.LastHeartbeatTime.Time
			}
		}
		return time.Time{}
	}
	for range 2 {
		was := heartbeat()
		w.Eventually(world.Timeout, func() error {
			if now := heartbeat(); !now.After(was) {
				return fmt.Errorf("the last heartbeat was at %s", now)
			}
			return nil
		})
	}
}

// A VNode is drained as any Node is: its pods are evicted and placed elsewhere, each
// module is uninstalled once, and the Node stays.
func TestAVNodeIsDrained(t *testing.T) {
	t.Parallel()
	const bases = 2
	w := cluster.New(t).WithBroker().WithFleet(bases).WithController("LIST_INTERVAL=1s")
	w.AwaitNodesReady(bases)
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), 1)
	w.AwaitPodsReady("app=stock", 1)
	nodes := world.UIDs(w.Nodes())
	from := w.Pods("app=stock")[0].Spec.NodeName
	w.Kubectl("drain", from, "--timeout=60s")
	w.AwaitPodsReady("app=stock", 1)
	to := w.Pods("app=stock")[0].Spec.NodeName
	if to == from {
		t.Fatalf("the pod is on %s again", to)
	}
	w.AwaitServing(w.BaseOf(from))
	w.AwaitServing(w.BaseOf(to), "stock:1.0.0")
	w.AwaitListed()
	b, err := w.Fleet.Base(w.BaseOf(from))
	w.Must(err)
	if c := w.Counts(); c.Installs != 2 || c.Uninstalls != 1 || len(b.Commands) != 2 {
		t.Errorf("installs %d, uninstalls %d; want 2 and 1; the drained base got %v", c.Installs, c.Uninstalls, b.Commands)
	}
	if now := world.UIDs(w.Nodes()); !maps.Equal(now, nodes) {
		t.Errorf("nodes are %v, were %v", now, nodes)
	}
	for _, n := range w.Nodes() {
		if !world.NodeReady(n) || n.Spec.Unschedulable != (n.Name == from) {
			t.Errorf("node %s: ready %v, unschedulable %v", n.Name, world.NodeReady(n), n.Spec.Unschedulable)
		}
	}
}
