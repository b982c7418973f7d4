package suite

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// ownerOf is the replica that owns a base.
func ownerOf(w *world.World, node string) string {
	w.Helper()
	return podOf(w.Owners()[node])
}

// podOf is the replica that a Lease names.
func podOf(o world.Owner) string {
	pod, _, _ := strings.Cut(o.Holder, "_")
	return pod
}

// A drained member gives up its bases by handovers that nobody notices, and takes none, also
// after it was restarted and when another dies, until it is taken back. A base that is moved
// goes alone, and goes back when its pin is over.
func TestAMemberIsDrainedAndABaseMoved(t *testing.T) {
	t.Parallel()
	const bases = 30
	w := cluster.NewFleet(t, 3, bases)
	check := w.Undisturbed(bases)
	before := w.Owners()
	const drained = 1
	name := world.ReplicaName(drained)
	if out := w.Modules("drain", name, "--wait"); !strings.Contains(out, "is cordoned") || !strings.HasSuffix(out, "done\n") {
		t.Errorf("it says:\n%s", out)
	}
	if shares := w.Shares(); len(shares) != 2 || shares[name] != 0 {
		t.Errorf("bases are shared as %v", shares)
	}
	w.CheckMoves(1, before)
	w.Stop(drained)
	w.Must(w.Replicas[drained].Start(t.Context()))
	gone := w.Incarnation(0)
	w.Stop(0)
	w.AwaitOwned(world.Timeout, bases, gone)
	if shares := w.Shares(); shares[world.ReplicaName(2)] != bases {
		t.Errorf("while one is drained and another away bases are shared as %v", shares)
	}
	w.Must(w.Replicas[0].Start(t.Context()))
	if out, err := w.ModulesAs(cluster.Plane.Kubeconfig(), "drain", world.ReplicaName(2)); err != nil {
		t.Errorf("with two that are ready one is not drained: %v", err)
	} else if !strings.Contains(out, "is cordoned") {
		t.Errorf("it says:\n%s", out)
	}
	if _, err := w.ModulesAs(cluster.Plane.Kubeconfig(), "drain", world.ReplicaName(0)); err == nil || !strings.Contains(err.Error(), "no other member is ready") {
		t.Errorf("the last one is drained: %v", err)
	}
	w.Modules("drain", name, "--undo")
	w.Modules("drain", world.ReplicaName(2), "--undo")
	w.AwaitBalanced(3, bases)
	w.AwaitPlaced()

	before = w.Owners()
	node, to := w.NodeName("base-0007"), ""
	for _, replica := range []int{0, 1, 2} {
		if to = world.ReplicaName(replica); to != ownerOf(w, node) {
			break
		}
	}
	home := ownerOf(w, node)
	const long = 30 * time.Second
	pinned := time.Now()
	w.Modules("move", "base-0007", to, "--for", long.String(), "--wait")
	if is := ownerOf(w, node); is != to {
		t.Errorf("the base is %s's, want %s's", is, to)
	}
	moved := w.Owners()
	maps.DeleteFunc(moved, func(n string, o world.Owner) bool { return n == node || o == before[n] })
	if len(moved) > 0 {
		t.Errorf("others moved too: %v", moved)
	}
	if out := w.Modules("base", "base-0007"); !strings.Contains(out, "pinned to "+to) {
		t.Errorf("it shows:\n%s", out)
	}
	w.Eventually(2*long, func() error {
		if is := ownerOf(w, node); is != home {
			return fmt.Errorf("after %s the base is %s's, want %s's", time.Since(pinned), is, home)
		}
		return nil
	})
	if stayed := time.Since(pinned); stayed < long-2*time.Second {
		t.Errorf("it was back after %s", stayed)
	}
	check()
}

// Who has the Role of operators asks members for things, and changes nothing else of their
// Leases; who has no right is told which role has it. (The policy is that of the manifests' own
// installation, so the World must be alone.)
func TestOperatorsAskAndDoNothingElse(t *testing.T) {
	w := cluster.New(t).WithBroker().WithReplicas(2)
	const account = "operator"
	w.Kubectl("create", "serviceaccount", account, "-n", w.Env)
	subject := "--serviceaccount=" + w.Env + ":" + account
	reader := "reader-" + w.Env
	w.Kubectl("create", "clusterrole", reader, "--verb=get,list", "--resource=leases.coordination.k8s.io,nodes,pods,events")
	w.Kubectl("create", "clusterrolebinding", reader, "--clusterrole="+reader, subject)
	w.Cleanup(func() {
		_, err := cluster.Plane.Kubectl(context.Background(), "delete", "clusterrole,clusterrolebinding", reader)
		w.Must(err)
		_, err = cluster.Plane.Kubectl(context.Background(), "delete", "role,rolebinding", account, account+"-all", "-n", harness.Namespace, "--ignore-not-found")
		w.Must(err)
	})
	kubeconfig, err := cluster.Plane.KubeconfigFor(t.Context(), w.Env, account)
	w.Must(err)
	member := world.ReplicaName(0)
	w.Eventually(world.Timeout, func() error {
		if _, err := w.ModulesAs(kubeconfig, "drain", member); err == nil || !strings.Contains(err.Error(), "module-controller-operator") {
			return fmt.Errorf("without the role: %w", err)
		}
		return nil
	})
	w.Kubectl("create", "rolebinding", account, "--role=module-controller-operator", subject, "-n", harness.Namespace)
	w.Eventually(world.Timeout, func() error {
		_, err := w.ModulesAs(kubeconfig, "drain", member)
		return err
	})
	out, err := w.ModulesAs(kubeconfig, "drain", member, "--undo")
	if w.Must(err); !strings.Contains(out, "takes bases again") {
		t.Errorf("it says %s", out)
	}
	w.Kubectl("create", "role", account+"-all", "--verb=*", "--resource=leases.coordination.k8s.io", "-n", harness.Namespace) // the policy stops him, not RBAC
	w.Kubectl("create", "rolebinding", account+"-all", "--role="+account+"-all", subject, "-n", harness.Namespace)
	leases := clientAs(w, w.Env, account, "operator").CoordinationV1().Leases(harness.Namespace)
	w.Eventually(world.Timeout, func() error { // RBAC knows
		_, err := leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: object("nobodys", "")}, metav1.CreateOptions{DryRun: dry})
		return err
	})
	for what, patch := range map[string]string{
		"take a member's place":      `{"spec":{"holderIdentity":"thief_00000000"}}`,
		"keep a dead member alive":   `{"spec":{"renewTime":"2040-01-01T00:00:00.000000Z"}}`,
		"have its own key believed":  `{"metadata":{"annotations":{"virtual-kubelet.koupleless.io/peer-key":"mine"}}}`,
		"say that a member drains":   `{"metadata":{"annotations":{"virtual-kubelet.koupleless.io/state":"draining"}}}`,
		"take an annotation away":    `{"metadata":{"annotations":{"virtual-kubelet.koupleless.io/tunnels":null}}}`,
		"hide it from the members":   `{"metadata":{"labels":{"virtual-kubelet.koupleless.io/component":null}}}`,
		"have it deleted with a pod": `{"metadata":{"finalizers":["a/b"]}}`,
	} {
		_, err := leases.Patch(t.Context(), member, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dry})
		if err := wantForbidden(err); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	_, err = leases.Create(t.Context(), &coordinationv1.Lease{ObjectMeta: object("module-controller-9", "module-controller")}, metav1.CreateOptions{DryRun: dry})
	if err := wantForbidden(err); err != nil {
		t.Errorf("make a member: %v", err)
	}
	if err := wantForbidden(leases.Delete(t.Context(), member, metav1.DeleteOptions{DryRun: dry})); err != nil {
		t.Errorf("end a member: %v", err)
	}
	w.Kubectl("annotate", "lease", member, "-n", harness.Namespace, "team=a") // an administrator may
}
