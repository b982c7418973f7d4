package suite

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	coordinationclient "k8s.io/client-go/kubernetes/typed/coordination/v1"

	"module-controller/e2e/harness"
)

// baseLeases are the Leases of all bases.
func baseLeases() coordinationclient.LeaseInterface {
	return client.CoordinationV1().Leases(corev1.NamespaceNodeLease)
}

// What somebody does to Leases and Nodes by hand is put right, and no module notices.
func TestWhatIsEditedByHandIsPutRight(t *testing.T) {
	const bases = 12
	w := fleetOf(t, 2, bases)
	check := w.undisturbed(bases)
	before := w.owners()
	ended := w.recorded.fault("edited by hand", "")
	for base, patch := range map[string]string{
		"base-0001": `{"spec":{"holderIdentity":"somebody"}}`,
		"base-0002": `{"spec":{"holderIdentity":""}}`,
		"base-0003": `{"spec":{"holderIdentity":null,"leaseTransitions":null,"renewTime":null}}`,
		"base-0004": `{"metadata":{"labels":null}}`,
		"base-0005": `{"spec":{"renewTime":"2020-01-01T00:00:00.000000Z"}}`,
	} {
		_, err := baseLeases().Patch(t.Context(), w.nodeOf(base), types.MergePatchType, []byte(patch), metav1.PatchOptions{})
		w.must(err)
	}
	w.must(baseLeases().Delete(t.Context(), w.nodeOf("base-0006"), metav1.DeleteOptions{}))
	w.must(client.CoordinationV1().Leases(harness.Namespace).Delete(t.Context(), "module-controller-1", metav1.DeleteOptions{}))
	// Sooner than it would be if they were taken for a foreigner's: who owned them knows.
	w.eventually(45*time.Second, func() error { return w.leasesAreRight(bases) })
	ended()
	w.settled()
	for node, now := range w.owners() {
		if now.epoch < before[node].epoch {
			t.Errorf("the epoch of %s fell from %d to %d", node, before[node].epoch, now.epoch)
		}
	}
	check()
}

// leasesAreRight checks that each base's Lease is held by a member, carries the labels
// by which it is found and was renewed when it was due.
func (w *world) leasesAreRight(bases int) error {
	const due = 20*time.Second + 5*time.Second // LEASE_RENEW_INTERVAL, and to be on the safe side
	members := w.members()
	list, err := baseLeases().List(w.Context(), metav1.ListOptions{}) // whatever labels they have
	if err != nil {
		return err
	}
	right := 0
	for _, l := range list.Items {
		if !strings.HasSuffix(l.Name, "."+w.env) {
			continue
		}
		holder := ownerOf(l).holder
		pod, _, _ := strings.Cut(holder, "_")
		if holder == "" || members[pod] != holder {
			return fmt.Errorf("lease %s is held by %q, and members are %v", l.Name, holder, members)
		}
		for key, want := range map[string]string{"component": "vnode-lease", "env": w.env, "owner": pod, "state": "owned"} {
			if is := l.Labels["virtual-kubelet.koupleless.io/"+key]; is != want {
				return fmt.Errorf("label %s of lease %s is %q, want %q", key, l.Name, is, want)
			}
		}
		if l.Spec.RenewTime == nil || time.Since(l.Spec.RenewTime.Time).Abs() > due {
			return fmt.Errorf("lease %s was renewed at %v", l.Name, l.Spec.RenewTime)
		}
		right++
	}
	if right != bases {
		return fmt.Errorf("%d leases, want %d", right, bases)
	}
	return nil
}

// A Lease that is deleted is made anew by its owner.
func TestADeletedLeaseIsMadeAnew(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(1).withController("LEASE_RENEW_INTERVAL=1s", "LEASE_DURATION=2s")
	w.nodesReady(1)
	name := w.nodeOf("base-0001")
	was, err := baseLeases().Get(t.Context(), name, metav1.GetOptions{})
	w.must(err)
	w.must(baseLeases().Delete(t.Context(), name, metav1.DeleteOptions{}))
	w.eventually(patience, func() error {
		again, err := baseLeases().Get(t.Context(), name, metav1.GetOptions{})
		if err == nil && (again.UID == was.UID || ownerOf(*again) != ownerOf(*was)) {
			err = fmt.Errorf("lease %+v, was %+v", again.Spec, was.Spec)
		}
		return err
	})
}

// A Node that is deleted by hand is back before anybody misses it: its pods stay, and
// so do their modules.
func TestANodeDeletedByHandIsBack(t *testing.T) {
	const bases, promised = 3, 40 * time.Second
	w := fleetOf(t, 2, bases)
	nodes, ready := uids(w.nodes()), readySince(w.pods("app=stock"))
	w.must(client.CoreV1().Nodes().Delete(t.Context(), w.nodeOf("base-0002"), metav1.DeleteOptions{}))
	began := time.Now()
	w.eventually(promised, func() error {
		now := uids(w.nodes())
		if len(now) != bases || now[w.nodeOf("base-0002")] == nodes[w.nodeOf("base-0002")] {
			return fmt.Errorf("nodes %v, were %v", now, nodes)
		}
		return nil
	})
	t.Logf("it was back after %s", time.Since(began).Round(time.Millisecond))
	w.nodesReady(bases)
	w.eachListed()
	w.stillReady(ready, "app=stock")
	if c := w.counts(); c.Installs != bases || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases)
	}
}

// What users write on a Node stays, whatever the controller writes there and whoever
// owns the base.
func TestWhatUsersWriteOnANodeStays(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(2, "--name", "shop", "--version", "1", "--cluster", "north")
	w.withReplicas(2, "SETTLE_TIME=3s", "LIST_INTERVAL=1s", "NODE_STATUS_INTERVAL=1s")
	w.nodesReady(2)
	w.settled()
	name := w.nodeOf("base-0001")
	w.kubectl("cordon", name)
	w.kubectl("taint", "node", name, "team=a:NoSchedule")
	w.kubectl("label", "node", name, "team=a")
	w.kubectl("annotate", "node", name, "team=a")
	check := func(version string) {
		t.Helper()
		w.eventually(patience, func() error { // it is written for other reasons meanwhile
			n, err := client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
			if err == nil && n.Labels["base.koupleless.io/version"] != version {
				err = fmt.Errorf("the base's version is %s there", n.Labels["base.koupleless.io/version"])
			}
			return err
		})
		w.heartbeatsWritten(name)
		n, err := client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		w.must(err)
		taints := map[string]string{}
		for _, taint := range n.Spec.Taints {
			taints[taint.Key] = taint.Value
		}
		want := map[string]string{
			"schedule.koupleless.io/virtual-node": "True", "schedule.koupleless.io/node-env": w.env,
			"team": "a", "node.kubernetes.io/unschedulable": "",
		}
		if !n.Spec.Unschedulable || n.Labels["team"] != "a" || n.Annotations["team"] != "a" || !maps.Equal(taints, want) || !nodeReady(*n) {
			t.Errorf("unschedulable %v, labels %v, annotations %v, taints %v, ready %v", n.Spec.Unschedulable, n.Labels, n.Annotations, taints, nodeReady(*n))
		}
	}
	check("1")
	w.must(w.fleet.Do("base-0001", "metadata?name=shop&version=2&cluster=north"))
	check("2")
	victim := w.owners()[name].holder
	w.must(w.replicaOf(victim).Stop(40 * time.Second))
	w.ownedBy(time.Second, 2, victim)
	check("2")
	w.must(w.fleet.Do("base-0001", "metadata?name=shop&version=3&cluster=north"))
	check("3")
}

// heartbeatsWritten waits until a Node's status was written twice more.
func (w *world) heartbeatsWritten(name string) {
	w.Helper()
	heartbeat := func() time.Time {
		n, err := client.CoreV1().Nodes().Get(w.Context(), name, metav1.GetOptions{})
		w.must(err)
		for _, c := range n.Status.Conditions {
			if c.Type == corev1.NodeReady {
				return c.LastHeartbeatTime.Time
			}
		}
		return time.Time{}
	}
	for range 2 {
		was := heartbeat()
		w.eventually(patience, func() error {
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
	const bases = 2
	w := newWorld(t).withBroker().withFleet(bases).withController("LIST_INTERVAL=1s")
	w.nodesReady(bases)
	w.deployment("stock", "1.0.0", jar("stock", "1.0.0"), 1)
	w.podsReady("app=stock", 1)
	nodes := uids(w.nodes())
	from := w.pods("app=stock")[0].Spec.NodeName
	w.kubectl("drain", from, "--timeout=60s")
	w.podsReady("app=stock", 1)
	to := w.pods("app=stock")[0].Spec.NodeName
	if to == from {
		t.Fatalf("the pod is on %s again", to)
	}
	w.serves(w.baseOf(from))
	w.serves(w.baseOf(to), "stock:1.0.0")
	w.eachListed()
	b, err := w.fleet.Base(w.baseOf(from))
	w.must(err)
	if c := w.counts(); c.Installs != 2 || c.Uninstalls != 1 || len(b.Commands) != 2 {
		t.Errorf("installs %d, uninstalls %d; want 2 and 1; the drained base got %v", c.Installs, c.Uninstalls, b.Commands)
	}
	if now := uids(w.nodes()); !maps.Equal(now, nodes) {
		t.Errorf("nodes are %v, were %v", now, nodes)
	}
	for _, n := range w.nodes() {
		if !nodeReady(n) || n.Spec.Unschedulable != (n.Name == from) {
			t.Errorf("node %s: ready %v, unschedulable %v", n.Name, nodeReady(n), n.Spec.Unschedulable)
		}
	}
}
