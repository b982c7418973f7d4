package suite

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// Another controller, the duration of its Leases, and how long after its last renewal
// they may be claimed: the duration and a grace of 10 s.
const (
	foreigner       = "another-controller"
	foreignDuration = 2 * time.Second
	foreignTimeout  = foreignDuration + 10*time.Second
)

// Bases that another controller holds are ignored for as long as that one renews their
// Leases, and served as they are when it has stopped: one that it claimed from us, and one
// that it had before we ever ran, whose Lease and Node have none of our labels.
func TestAForeignHolderIsRespected(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithBroker().WithFleet(2)
	taken, had := w.NodeName("base-0001"), w.NodeName("base-0002")
	foreignNode(w, had)
	w.Must(w.Fleet.Post("/bases/base-0002/install", map[string]any{"bizName": "stock", "bizVersion": "1.0.0", "bizUrl": world.Jar("stock", "1.0.0")}))
	w.CreatePod("had", "base-0002", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	w.WithController("LEASE_RENEW_INTERVAL=1s", "LIST_INTERVAL=1s", "QUIET_LIST_INTERVAL=1s")
	w.CreatePod("taken", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"))
	ready := w.AwaitReady("taken")
	nodes := map[string]types.UID{}
	for _, name := range []string{taken, had} {
		n, err := cluster.Client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		w.Must(err)
		nodes[name] = n.UID
	}
	before := w.Owners()[taken]
	w.Eventually(world.Timeout, func() error { return takeAsForeigner(w, taken) })
	w.CreatePod("after", "base-0001", "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	last := heldByForeigner(w, taken, had)

	if took := servedAfter(w, taken, last); took > foreignTimeout+3*time.Second {
		t.Errorf("that is later than %s", foreignTimeout)
	}
	if now := w.Owners()[taken]; now.Epoch <= before.Epoch+1 {
		t.Errorf("the lease says %+v, was %+v before it was taken", now, before)
	}
	w.AwaitReady("after")
	// What it cannot watch for want of labels, it reads when it may be due.
	if took := servedAfter(w, had, last); took > 2*foreignTimeout+3*time.Second {
		t.Errorf("that is later than twice %s", foreignTimeout)
	}
	w.AwaitNodesReady(2)
	w.AwaitReady("had")
	if now := world.UIDs(w.Nodes()); !maps.Equal(now, nodes) {
		t.Errorf("nodes are %v, were %v", now, nodes)
	}
	if now := w.AwaitReady("taken"); !maps.Equal(world.ReadySince([]corev1.Pod{*now}), world.ReadySince([]corev1.Pod{*ready})) {
		t.Errorf("the pod of the base that was taken is %+v, was %+v", now.Status.Conditions, ready.Status.Conditions)
	}
	if c := w.Counts(); c.Installs != 3 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want one of each pod and none", c.Installs, c.Uninstalls)
	}
	w.Must(w.CheckLeases(2))
}

// foreignNode makes a Node and a Lease as another controller does.
func foreignNode(w *world.World, name string) {
	w.Helper()
	now, seconds, holder, epoch := metav1.NowMicro(), int32(foreignDuration/time.Second), foreigner, int32(7)
	_, err := w.BaseLeases().Create(w.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{
		HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now, LeaseTransitions: &epoch,
	}}, metav1.CreateOptions{})
	w.Must(err)
	_, err = cluster.Client.CoreV1().Nodes().Create(w.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() { // where they were never adopted, nobody finds them by their labels
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
		w.Must(world.IgnoreNotFound(cluster.Client.CoreV1().Nodes().Delete(context.Background(), name, now)))
		w.Must(world.IgnoreNotFound(w.BaseLeases().Delete(context.Background(), name, now)))
	})
}

// takeAsForeigner writes another controller into a base's Lease, as that one would.
func takeAsForeigner(w *world.World, name string) error {
	lease, err := w.BaseLeases().Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now, seconds, holder, epoch := metav1.NowMicro(), int32(foreignDuration/time.Second), foreigner, world.OwnerOf(*lease).Epoch+1
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime, lease.Spec.LeaseTransitions = &holder, &seconds, &now, &epoch
	_, err = w.BaseLeases().Update(w.Context(), lease, metav1.UpdateOptions{})
	return err
}

// renewAsForeigner renews a Lease that must still be the foreigner's.
func renewAsForeigner(w *world.World, name string) error {
	lease, err := w.BaseLeases().Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if holder := world.OwnerOf(*lease).Holder; holder != foreigner {
		return harness.Final(fmt.Errorf("%s took %s from %s, which renews it", holder, name, foreigner))
	}
	now := metav1.NowMicro()
	lease.Spec.RenewTime = &now
	_, err = w.BaseLeases().Update(w.Context(), lease, metav1.UpdateOptions{})
	return err
}

// heldByForeigner has the foreigner renew Leases for longer than the foreign timeout, and
// checks that nobody claims them and that their bases get no command and no question. It
// gives when the last renewals began.
func heldByForeigner(w *world.World, names ...string) (last time.Time) {
	w.Helper()
	renew := func() {
		w.Helper()
		last = time.Now()
		for _, name := range names {
			w.Eventually(world.Timeout, func() error { return renewAsForeigner(w, name) })
		}
	}
	tick := time.NewTicker(foreignDuration)
	defer tick.Stop()
	renew()
	<-tick.C // what was in flight has come to the bases
	asked := w.Counts().Questions
	for range (foreignTimeout + 3*time.Second) / foreignDuration {
		<-tick.C
		renew()
	}
	if now := w.Counts().Questions; now != asked {
		w.Errorf("the bases were asked %d times while they were %s's", now-asked, foreigner)
	}
	return last
}

// servedAfter waits until a member holds a base that was foreign, and gives how long
// after the last renewal that was: not before the foreign timeout.
func servedAfter(w *world.World, name string, last time.Time) time.Duration {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		lease, err := w.BaseLeases().Get(w.Context(), name, metav1.GetOptions{})
		if err == nil && !slices.Contains(slices.Collect(maps.Values(w.Members())), world.OwnerOf(*lease).Holder) {
			err = fmt.Errorf("it is %s's", world.OwnerOf(*lease).Holder)
		}
		return err
	})
	took := time.Since(last)
	w.Logf("%s was taken %s after the last renewal", name, took.Round(time.Millisecond))
	if took < foreignTimeout {
		w.Errorf("that is before %s", foreignTimeout)
	}
	return took
}
