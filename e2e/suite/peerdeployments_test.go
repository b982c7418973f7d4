package suite

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// A peer Deployment has a pod on each base: it follows joins and leaves, and stays still while
// a base flaps and while the replica that works for it is killed.
func TestAPeerDeploymentFollowsTheBases(t *testing.T) {
	t.Parallel()
	const bases, replicas, after = 50, 3, 15 * time.Second
	w := cluster.New(t).WithBroker().WithFleet(bases, "--name", "my-application")
	w.WithReplicas(replicas, "SETTLE_TIME=3s", "LIST_INTERVAL=2s", "STALE_AFTER=4s", "GONE_AFTER=30s",
		"ENABLE_MODULE_REPLICAS_SYNC_WITH_BASE=true", "PEER_SCALE_DOWN_AFTER="+after.String())
	w.AwaitNodesReady(bases)
	w.Kubectl("apply", "-n", w.Env, "--warnings-as-errors", "-f", peerSample(w))
	w.AwaitOneEach("peer", bases)
	awaitTold(w, fmt.Sprintf("to %d: so many bases", bases))

	// Two leave: the others keep their pods.
	const left = bases - 2
	kept := podsByUID(w)
	for _, gone := range []int{7, 23} {
		w.Must(w.Fleet.Do(world.BaseID(gone), "silence"))
		maps.DeleteFunc(kept, func(_, node string) bool { return node == w.NodeName(world.BaseID(gone)) })
	}
	w.AwaitOneEach("peer", left)
	awaitTold(w, fmt.Sprintf("to %d: in the last %s", left, after))
	if now := podsByUID(w); !maps.Equal(now, kept) {
		t.Errorf("%d pods are left, want the %d on the bases that are left", len(now), len(kept))
	}

	// Nothing moves while one flaps and the leader is killed, and a while after.
	changes := w.WatchReplicas("peer")
	w.Must(w.Fleet.Do(world.BaseID(1), "silence"))
	w.AwaitNodeReason(world.BaseID(1), "BaseSilent")
	w.StayLive(after / 2) // longer than joins are waited for
	w.Must(w.Fleet.Do(world.BaseID(1), "resume"))
	w.AwaitNodesReady(left)
	leader := peerLeader(w)
	nodes := w.WatchNodes()
	w.Must(leader.Kill())
	killed := time.Now()
	w.Eventually(2*world.Timeout, func() error {
		if is := time.Since(killed); is < 2*after {
			return fmt.Errorf("it was killed %s ago", is)
		}
		return nil
	})
	if bad := nodes(); len(bad) > 0 {
		t.Errorf("nodes turned not ready: %v", bad)
	}
	if moved := changes(); len(moved) > 0 {
		t.Errorf("the replicas became %v", moved)
	}
	if now := podsByUID(w); !maps.Equal(now, kept) {
		t.Errorf("%d pods are left, want the same %d", len(now), len(kept))
	}

	// Another replica works for it now: they join again.
	for _, back := range []int{7, 23} {
		w.Must(w.Fleet.Do(world.BaseID(back), "resume"))
	}
	w.AwaitOneEach("peer", bases)
	// Who sets the number himself is let alone.
	w.Kubectl("label", "-n", w.Env, "deployment/peer", "virtual-kubelet.koupleless.io/replicas-control=true")
	w.Kubectl("scale", "-n", w.Env, "deployment/peer", "--replicas=3")
	w.AwaitPodsReady("app=peer", 3)
	w.Must(leader.Start(t.Context()))
	changes = w.WatchReplicas("peer")
	begun := time.Now()
	w.Eventually(world.Timeout, func() error {
		if is := time.Since(begun); is < after {
			return fmt.Errorf("it began %s ago", is)
		}
		return nil
	})
	if moved := changes(); len(moved) > 0 {
		t.Errorf("it was let alone, and the replicas became %v", moved)
	}
}

// peerSample is the sample of the manifests, for the World's environment.
func peerSample(w *world.World) string {
	w.Helper()
	text, err := os.ReadFile(harness.Manifest("samples/peer.yaml"))
	w.Must(err)
	named := strings.NewReplacer("value: default, effect", "value: "+w.Env+", effect", "/env: default", "/env: "+w.Env)
	return w.File("peer.yaml", named.Replace(string(text)))
}

// podsByUID gives on which Node each pod is that is to stay.
func podsByUID(w *world.World) map[string]string {
	w.Helper()
	on := map[string]string{}
	for _, p := range w.Pods("app=peer") {
		if p.DeletionTimestamp == nil {
			on[string(p.UID)] = p.Spec.NodeName
		}
	}
	return on
}

// awaitTold waits until an Event on the Deployment says something.
func awaitTold(w *world.World, text string) {
	w.Helper()
	w.Eventually(world.Timeout, func() error {
		all, err := cluster.Client.CoreV1().Events(w.Env).List(w.Context(), metav1.ListOptions{FieldSelector: "involvedObject.kind=Deployment,reason=ReplicasFollowBases"})
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(all.Items, func(e corev1.Event) bool { return strings.Contains(e.Message, text) }) {
			return fmt.Errorf("none of %d Events says %q", len(all.Items), text)
		}
		return nil
	})
}

// peerLeader gives the replica that scales the Deployment: the one that did so.
func peerLeader(w *world.World) *harness.Controller {
	w.Helper()
	var leaders []*harness.Controller
	for _, r := range w.Replicas {
		n, err := r.Metric("module_controller_peer_deployments_scaled_total", "direction=")
		w.Must(err)
		if n > 0 {
			leaders = append(leaders, r)
		}
	}
	if len(leaders) != 1 {
		w.Fatalf("%d replicas scaled the Deployment, want one", len(leaders))
	}
	return leaders[0]
}
