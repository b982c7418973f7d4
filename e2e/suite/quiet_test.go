package suite

import (
	"context"
	"encoding/json"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// A base that is found by its Pod has the Node that it would have if it announced itself: all of
// it, but where it listens.
func TestAFoundBaseHasTheSameNode(t *testing.T) {
	t.Parallel()
	told := []string{"--name", "shop", "--version", "2", "--cluster", "blue"}
	announces := cluster.New(t).WithHTTP().WithController("LIST_INTERVAL=2s", "QUIET_LIST_INTERVAL=2s")
	at := announces.OverHTTP(1)
	host := harness.BasePodName(harness.BaseAddresses(netip.MustParsePrefix(at[len(at)-1]), 1)[0])
	announces.StartFleet(1, slices.Concat(at, told, []string{"--hostname", host})...)

	found := cluster.New(t).WithHTTP()
	found.WithQuietFleet(1, func(_ int, p *corev1.Pod) {
		p.Labels["base.koupleless.io/name"], p.Labels["base.koupleless.io/version"], p.Labels["base.koupleless.io/cluster-name"] = "shop", "2", "blue"
	}, "--name", "another").WithController("FIND_BASE_PODS=true", "LIST_INTERVAL=2s", "QUIET_LIST_INTERVAL=2s")

	want, got := shownOf(announces), shownOf(found)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("Node of a base that was found (-announced +found):\n%s", diff)
	}
	if want.Labels["base.koupleless.io/name"] != "shop" || len(want.Spec.Taints) != 2 || want.Status.Capacity.Memory().IsZero() ||
		len(want.Status.Conditions) != 4 || len(want.Status.Addresses) == 0 || want.Annotations["base.koupleless.io/bound-to"] == "" {
		t.Errorf("the Node is %+v", want)
	}
}

// shownOf gives the Node of a World's base once it is Ready and has nothing left to say, with
// words for what is of this World alone: environment, address, port, Pod and times.
func shownOf(w *world.World) *corev1.Node {
	w.Helper()
	w.AwaitNodesReady(1)
	w.AwaitListed() // its health came before
	node := w.Nodes()[0]
	pods, err := cluster.Client.CoreV1().Pods(w.Env).List(w.Context(), metav1.ListOptions{LabelSelector: harness.BasePodSelector})
	w.Must(err)
	if len(pods.Items) != 1 {
		w.Fatalf("%d Pods of bases", len(pods.Items))
	}
	pod := pods.Items[0]
	node.ObjectMeta = metav1.ObjectMeta{Name: node.Name, Labels: node.Labels, Annotations: node.Annotations}
	for i := range node.Status.Conditions {
		c := &node.Status.Conditions[i]
		c.LastHeartbeatTime, c.LastTransitionTime = metav1.Time{}, metav1.Time{}
	}
	node.Status.DaemonEndpoints = corev1.NodeDaemonEndpoints{}
	port := "base.koupleless.io/tunnel-port"
	if node.Labels[port] == "" {
		w.Errorf("the Node of %s tells no port", w.Env)
	}
	node.Labels[port] = "its own"
	text, err := json.Marshal(node)
	w.Must(err)
	own := strings.NewReplacer(string(pod.UID), "POD-UID", pod.Name, "POD", pod.Status.PodIP, "IP", w.Env, "ENV").Replace(string(text))
	shown := &corev1.Node{}
	w.Must(json.Unmarshal([]byte(own), shown))
	return shown
}

// Bases whose runtime sends no heartbeats are found by their Pods, which tell more of them: what
// they are, where they run, and that they end. When the Pod of one is deleted, which has half a
// minute to end, its Node is NotReady within 2 s, and its module serves elsewhere within a minute
// of the deletion: while it still serves its last requests.
func TestBasesAreFoundByTheirPods(t *testing.T) {
	t.Parallel()
	w := cluster.New(t).WithHTTP()
	machine := "machine-" + w.Env
	_, err := cluster.Client.CoreV1().Nodes().Create(t.Context(), &corev1.Node{ObjectMeta: metav1.ObjectMeta{
		Name: machine, Labels: map[string]string{corev1.LabelTopologyZone: "zone-a"},
	}}, metav1.CreateOptions{})
	w.Must(err)
	t.Cleanup(func() {
		w.Must(world.IgnoreNotFound(cluster.Client.CoreV1().Nodes().Delete(context.Background(), machine, metav1.DeleteOptions{})))
	})
	pods := map[string]string{}
	w.WithQuietFleet(2, func(base int, p *corev1.Pod) {
		pods[world.BaseID(base)] = p.Name
		p.Spec.NodeName = machine // its kubelet, which would end Pods, is not there
		p.Spec.Tolerations = []corev1.Toleration{{Operator: corev1.TolerationOpExists}}
		p.Labels["base.koupleless.io/name"] = "shop"
	}).WithController("FIND_BASE_PODS=true")
	w.AwaitNodesReady(2)
	for _, n := range w.Nodes() {
		if n.Labels["base.koupleless.io/name"] != "shop" || n.Labels[corev1.LabelTopologyZone] != "zone-a" || n.Annotations["base.koupleless.io/node"] != machine {
			t.Errorf("Node %s has labels %v and annotations %v", n.Name, n.Labels, n.Annotations)
		}
	}
	w.CreateDeployment("stock", "1.0.0", world.Jar("stock", "1.0.0"), 1)
	w.AwaitPodsReady("app=stock", 1)
	was := w.Pods("app=stock")[0]
	rolled := w.BaseOf(was.Spec.NodeName)

	deleted := time.Now()
	w.Must(cluster.Client.CoreV1().Pods(w.Env).Delete(t.Context(), pods[rolled], metav1.DeleteOptions{}))
	w.AwaitNodeReason(rolled, "BasePodDeleted")
	if took := time.Since(deleted); took > 2*time.Second {
		t.Errorf("the Node was NotReady %s after its base's Pod was deleted, want 2 s", took)
	}
	elsewhere := func(p corev1.Pod) bool { return p.Spec.NodeName != was.Spec.NodeName && world.PodReady(p) }
	w.Eventually(world.Timeout, func() error {
		if !slices.ContainsFunc(w.Pods("app=stock"), elsewhere) {
			return fmt.Errorf("the module serves nowhere else")
		}
		return nil
	})
	took := time.Since(deleted)
	t.Logf("the module served elsewhere %s after the base's Pod was deleted", took.Round(time.Millisecond))
	if took > time.Minute {
		t.Errorf("the module served elsewhere %s after the base's Pod was deleted, want a minute", took)
	}
	of, err := cluster.Client.CoreV1().Pods(w.Env).Get(t.Context(), pods[rolled], metav1.GetOptions{})
	w.Must(err)
	if grace := of.DeletionGracePeriodSeconds; grace == nil || *grace != 30 || of.DeletionTimestamp == nil {
		t.Errorf("the base's Pod has a grace of %v", grace)
	}
	w.AwaitServing(rolled, "stock:1.0.0")

	// Its process ends, and its kubelet takes the Pod away: the module's pod has ended with it.
	w.Must(w.Fleet.Do(rolled, "stop"))
	now := int64(0)
	w.Must(cluster.Client.CoreV1().Pods(w.Env).Delete(t.Context(), pods[rolled], metav1.DeleteOptions{GracePeriodSeconds: &now}))
	w.AwaitGone(was.Name, 5*time.Second)
	w.AwaitPodsReady("app=stock", 1)
	if c := w.Counts(); c.Installs != 2 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want one on each base", c.Installs, c.Uninstalls)
	}
}

// Several replicas find the same bases; each is one's, and a replica that is killed takes
// nothing with it. A base that comes back with its Pod has its modules again.
func TestFoundBasesAmongReplicas(t *testing.T) {
	t.Parallel()
	const bases = 4
	w := cluster.New(t).WithService()
	w.WithQuietFleet(bases, func(int, *corev1.Pod) {})
	w.WithStock(2, bases, "FIND_BASE_PODS=true")
	stop := w.WatchNodes()
	victim := w.Owners()[w.NodeName(world.BaseID(1))].Holder
	w.Must(w.ReplicaOf(victim).Kill())
	w.AwaitOwned(12*time.Second, bases, victim)
	w.CreatePod("late", world.BaseID(1), "orders", "1.0.0", world.Jar("orders", "1.0.0"))
	w.AwaitReady("late")
	if bad := stop(); len(bad) > 0 {
		t.Errorf("nodes turned not ready: %v", bad)
	}
	w.Must(w.Fleet.Do(world.BaseID(2), "restart"))
	w.AwaitServing(world.BaseID(2), "stock:1.0.0")
	w.AwaitPodsReady("app=stock", bases)
	if c := w.Counts(); c.Installs != bases+2 || c.Uninstalls != 0 {
		t.Errorf("installs %d, uninstalls %d; want %d and none", c.Installs, c.Uninstalls, bases+2)
	}
}
