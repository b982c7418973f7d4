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
)

// Another controller, the duration of its Leases, and how long after its last renewal
// they are taken: the duration and a grace of 10 s.
const (
	foreigner       = "another-controller"
	foreignDuration = 2 * time.Second
	foreignPatience = foreignDuration + 10*time.Second
)

// Bases that another controller holds are left alone for as long as that one renews
// their Leases, and served as they are when it has fallen silent: one that it took from
// us, and one that it had before we ever ran, whose Lease and Node have none of our
// labels.
func TestAForeignHolderIsRespected(t *testing.T) {
	w := newWorld(t).withBroker().withFleet(2)
	taken, had := w.nodeOf("base-0001"), w.nodeOf("base-0002")
	w.foreignNode(had)
	w.must(w.fleet.Post("/bases/base-0002/install", map[string]any{"bizName": "stock", "bizVersion": "1.0.0", "bizUrl": jar("stock", "1.0.0")}))
	w.pod("had", "base-0002", "stock", "1.0.0", jar("stock", "1.0.0"))
	w.withController("LEASE_RENEW_INTERVAL=1s", "LIST_INTERVAL=1s")
	w.pod("taken", "base-0001", "stock", "1.0.0", jar("stock", "1.0.0"))
	ready := w.ready("taken")
	nodes := map[string]types.UID{}
	for _, name := range []string{taken, had} {
		n, err := client.CoreV1().Nodes().Get(t.Context(), name, metav1.GetOptions{})
		w.must(err)
		nodes[name] = n.UID
	}
	before := w.owners()[taken]
	w.eventually(patience, func() error { return w.takeAsForeigner(taken) })
	w.pod("after", "base-0001", "orders", "1.0.0", jar("orders", "1.0.0"))
	last := w.heldByForeigner(taken, had)

	if took := w.servedAfter(taken, last); took > foreignPatience+3*time.Second {
		t.Errorf("that is later than %s", foreignPatience)
	}
	if now := w.owners()[taken]; now.epoch <= before.epoch+1 {
		t.Errorf("the lease says %+v, was %+v before it was taken", now, before)
	}
	w.ready("after")
	// What it cannot watch for want of labels, it reads when it may be due.
	if took := w.servedAfter(had, last); took > 2*foreignPatience+3*time.Second {
		t.Errorf("that is later than twice %s", foreignPatience)
	}
	w.nodesReady(2)
	w.ready("had")
	if now := uids(w.nodes()); !maps.Equal(now, nodes) {
		t.Errorf("nodes are %v, were %v", now, nodes)
	}
	if now := w.ready("taken"); !maps.Equal(readySince([]corev1.Pod{*now}), readySince([]corev1.Pod{*ready})) {
		t.Errorf("the pod of the base that was taken is %+v, was %+v", now.Status.Conditions, ready.Status.Conditions)
	}
	if c := w.counts(); c.Installs != 3 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want one of each pod and none", c.Installs, c.Uninstalls)
	}
	w.must(w.leasesAreRight(2))
}

// foreignNode makes a Node and a Lease as another controller does.
func (w *world) foreignNode(name string) {
	w.Helper()
	now, seconds, holder, epoch := metav1.NowMicro(), int32(foreignDuration/time.Second), foreigner, int32(7)
	_, err := baseLeases().Create(w.Context(), &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: coordinationv1.LeaseSpec{
		HolderIdentity: &holder, LeaseDurationSeconds: &seconds, RenewTime: &now, LeaseTransitions: &epoch,
	}}, metav1.CreateOptions{})
	w.must(err)
	_, err = client.CoreV1().Nodes().Create(w.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name}, Status: corev1.NodeStatus{
		Conditions: []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue}},
	}}, metav1.CreateOptions{})
	w.must(err)
	w.Cleanup(func() { // where they were never adopted, nobody finds them by their labels
		now := metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
		w.must(ignoreNotFound(client.CoreV1().Nodes().Delete(context.Background(), name, now)))
		w.must(ignoreNotFound(baseLeases().Delete(context.Background(), name, now)))
	})
}

// takeAsForeigner writes another controller into a base's Lease, as that one would.
func (w *world) takeAsForeigner(name string) error {
	lease, err := baseLeases().Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now, seconds, holder, epoch := metav1.NowMicro(), int32(foreignDuration/time.Second), foreigner, ownerOf(*lease).epoch+1
	lease.Spec.HolderIdentity, lease.Spec.LeaseDurationSeconds, lease.Spec.RenewTime, lease.Spec.LeaseTransitions = &holder, &seconds, &now, &epoch
	_, err = baseLeases().Update(w.Context(), lease, metav1.UpdateOptions{})
	return err
}

// renewAsForeigner renews a Lease that must still be the foreigner's.
func (w *world) renewAsForeigner(name string) error {
	lease, err := baseLeases().Get(w.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	if holder := ownerOf(*lease).holder; holder != foreigner {
		return harness.Final(fmt.Errorf("%s took %s from %s, which renews it", holder, name, foreigner))
	}
	now := metav1.NowMicro()
	lease.Spec.RenewTime = &now
	_, err = baseLeases().Update(w.Context(), lease, metav1.UpdateOptions{})
	return err
}

// heldByForeigner has the foreigner renew Leases for longer than it would be waited
// for, and checks that nobody takes them and that their bases are told and asked
// nothing. It gives when the last renewals began.
func (w *world) heldByForeigner(names ...string) (last time.Time) {
	w.Helper()
	renew := func() {
		w.Helper()
		last = time.Now()
		for _, name := range names {
			w.eventually(patience, func() error { return w.renewAsForeigner(name) })
		}
	}
	tick := time.NewTicker(foreignDuration)
	defer tick.Stop()
	renew()
	<-tick.C // what was under way before has come to the bases
	asked := w.counts().Questions
	for range (foreignPatience + 3*time.Second) / foreignDuration {
		<-tick.C
		renew()
	}
	if now := w.counts().Questions; now != asked {
		w.Errorf("the bases were asked %d times while they were %s's", now-asked, foreigner)
	}
	return last
}

// servedAfter waits until a member holds a base that was foreign, and gives how long
// after the last renewal that was: not before it had been silent for long enough.
func (w *world) servedAfter(name string, last time.Time) time.Duration {
	w.Helper()
	w.eventually(patience, func() error {
		lease, err := baseLeases().Get(w.Context(), name, metav1.GetOptions{})
		if err == nil && !slices.Contains(slices.Collect(maps.Values(w.members())), ownerOf(*lease).holder) {
			err = fmt.Errorf("it is %s's", ownerOf(*lease).holder)
		}
		return err
	})
	took := time.Since(last)
	w.Logf("%s was taken %s after the last renewal", name, took.Round(time.Millisecond))
	if took < foreignPatience {
		w.Errorf("that is before %s", foreignPatience)
	}
	return took
}
