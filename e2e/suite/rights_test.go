package suite

import (
	"context"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// Whoever has the token of the service account can do to VNodes, their Leases and their
// module pods what the controller does, and nothing to anything else.
func TestTheServiceAccountTouchesOnlyVNodes(t *testing.T) {
	w := cluster.New(t)
	system, ours := metav1.NamespaceSystem, w.Env
	real, vnode, foreign := "real-"+w.Env, w.NodeName("made"), w.NodeName("foreign")
	makeNode(w, real, "vnode") // by its label alone it is no VNode
	makeNode(w, vnode, "vnode")
	makeNode(w, foreign, "")
	makePod(w, ours, "module", vnode, "module")
	makePod(w, ours, "agent", vnode, "")
	makePod(w, ours, "elsewhere", real, "module")
	makePod(w, ours, "unbound", "", "module")
	makePod(w, ours, "stranger", real, "")
	makePod(w, system, "dns-"+w.Env, real, "")
	_, err := cluster.Client.CoreV1().Secrets(ours).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"}}, metav1.CreateOptions{})
	w.Must(err)
	member := "left-" + w.Env
	_, err = w.MemberLeases().Create(t.Context(), &coordinationv1.Lease{ObjectMeta: object(member, "")}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() {
		w.Must(w.MemberLeases().Delete(context.Background(), member, metav1.DeleteOptions{}))
	})
	thief := attempts{World: w, client: asController(w)}
	// The API server takes a new policy in a moment later, each for itself.
	for _, try := range []func() error{
		func() error { return thief.deleteNode(real) },
		func() error { return thief.createLease(corev1.NamespaceNodeLease, "new-"+w.Env) },
		func() error { return thief.deletePod(system, "dns-"+w.Env) },
	} {
		w.Eventually(world.Timeout, func() error { return wantForbidden(try()) })
	}

	refused := map[string]func() error{
		"patch a real Node":                      func() error { return thief.patchNode(real, mine) },
		"patch the status of a real Node":        func() error { return thief.patchNode(real, unready, "status") },
		"delete a real Node":                     func() error { return thief.deleteNode(real) },
		"create a real Node":                     func() error { return thief.createNode("new-"+w.Env, "vnode") },
		"create a VNode without its label":       func() error { return thief.createNode(w.NodeName("new"), "") },
		"take the label off a VNode":             func() error { return thief.patchNode(vnode, notMine) },
		"take the label off by the status":       func() error { return thief.patchNode(vnode, notMine, "status") },
		"delete a Node without the label":        func() error { return thief.deleteNode(foreign) },
		"status of a Node without the label":     func() error { return thief.patchNode(foreign, unready, "status") },
		"renew the Lease of a real Node":         func() error { return thief.renew(corev1.NamespaceNodeLease, real) },
		"delete the Lease of a real Node":        func() error { return thief.deleteLease(corev1.NamespaceNodeLease, real) },
		"create the Lease of a real Node":        func() error { return thief.createLease(corev1.NamespaceNodeLease, "new-"+w.Env) },
		"create a Lease in kube-system":          func() error { return thief.createLease(system, "vnode.x") },
		"delete a pod of kube-system":            func() error { return thief.deletePod(system, "dns-"+w.Env) },
		"delete a DaemonSet's pod on a VNode":    func() error { return thief.deletePod(ours, "agent") },
		"delete a pod with the label elsewhere":  func() error { return thief.deletePod(ours, "elsewhere") },
		"delete a pod bound to nothing":          func() error { return thief.deletePod(ours, "unbound") },
		"status of a pod of kube-system":         func() error { return thief.patchPodStatus(system, "dns-"+w.Env, aMessage) },
		"status of a pod without the label":      func() error { return thief.patchPodStatus(ours, "agent", aMessage) },
		"end a pod without the label in order":   func() error { return thief.patchPodStatus(ours, "agent", asSucceeded) },
		"fail a pod without it, and label it":    func() error { return thief.patchPodStatus(ours, "agent", asFailedModule) },
		"fail a pod without the label elsewhere": func() error { return thief.patchPodStatus(ours, "stranger", asFailed) },
		"fail a pod of kube-system":              func() error { return thief.patchPodStatus(system, "dns-"+w.Env, asFailed) },
		"label a pod as a module":                func() error { return thief.patchPodStatus(ours, "agent", asModule) },
		"have a Service select a module":         func() error { return thief.patchPodStatus(ours, "module", asService) },
		"read a Secret":                          func() error { return thief.readSecret(ours) },
		"read a Secret of kube-system":           func() error { return thief.readSecret(system) },
	}
	for what, try := range refused {
		if err := wantForbidden(try()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.WithEnvironmentAccess()
	w.Eventually(world.Timeout, func() error { return thief.readSecret(ours) }) // once RBAC knows
	allowed := map[string]func() error{
		"create a VNode":                 func() error { return thief.createNode(w.NodeName("new"), "vnode") },
		"patch a VNode":                  func() error { return thief.patchNode(vnode, mine) },
		"patch the status of a VNode":    func() error { return thief.patchNode(vnode, unready, "status") },
		"adopt a Node without the label": func() error { return thief.patchNode(foreign, mine) },
		"delete a VNode":                 func() error { return thief.deleteNode(vnode) },
		"renew a VNode's Lease":          func() error { return thief.renew(corev1.NamespaceNodeLease, vnode) },
		"create a VNode's Lease":         func() error { return thief.createLease(corev1.NamespaceNodeLease, w.NodeName("new")) },
		"delete a VNode's Lease":         func() error { return thief.deleteLease(corev1.NamespaceNodeLease, vnode) },
		"delete a member's Lease":        func() error { return thief.deleteLease(harness.Namespace, member) },
		"create a member's Lease":        func() error { return thief.createLease(harness.Namespace, "module-controller-9") },
		"fail a pod without the label":   func() error { return thief.patchPodStatus(ours, "agent", asFailed) },
		"status of a module's pod":       func() error { return thief.patchPodStatus(ours, "module", aMessage) },
		"delete a module's pod":          func() error { return thief.deletePod(ours, "module") },
	}
	for what, try := range allowed {
		if err := try(); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// A pod whose namespace the controller may not read says which RoleBinding is missing,
// and is installed once that is there. (It names the manifests' own account, so the World
// must be alone.)
func TestAPodInANamespaceThatIsNotBound(t *testing.T) {
	w := cluster.New(t).WithBroker().WithFleet(1).WithController()
	w.MayBeDenied("secrets")
	w.AwaitNodesReady(1)
	_, err := cluster.Client.CoreV1().Secrets(w.Env).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"}, StringData: map[string]string{"TOKEN": "s3cret"}}, metav1.CreateOptions{})
	w.Must(err)
	w.CreatePod("stock", "base-0001", "stock", "1.0.0", world.Jar("stock", "1.0.0"), func(p *corev1.Pod) {
		p.Spec.Containers[0].EnvFrom = []corev1.EnvFromSource{{SecretRef: &corev1.SecretEnvSource{LocalObjectReference: corev1.LocalObjectReference{Name: "keys"}}}}
	})
	w.AwaitWaiting("stock", "CreateContainerConfigError", "module-controller-environment", "rolebinding", w.Env)
	pod, err := w.GetPod("stock")
	w.Must(err)
	_, command, _ := strings.Cut(world.Waiting(*pod), "kubectl ")
	command, _, _ = strings.Cut(command, " (")
	w.Kubectl(strings.Fields(command)...) // as the message says
	w.AwaitReady("stock")
	if c := w.Counts(); c.Installs != 1 {
		t.Errorf("%d installs, want 1", c.Installs)
	}
}

// Where VNodes are reserved, who may write any Node may not write VNodes, and the
// controller and Kubernetes do with them what they did.
func TestVNodesMayBeReserved(t *testing.T) {
	w := cluster.New(t).WithBroker().WithFleet(1)
	reserved := harness.Manifest("reserve-vnodes")
	w.Kubectl("apply", "-k", reserved)
	w.Cleanup(func() {
		_, err := cluster.Plane.Kubectl(context.Background(), "delete", "-k", reserved)
		w.Must(err)
	})
	other := attempts{World: w, client: asNodeWriter(w)}
	real := "real-" + w.Env
	makeNode(w, real, "")
	w.Eventually(world.Timeout, func() error { // RBAC and the policy are taken in a moment later
		if err := other.deleteNode(real); err != nil {
			return err
		}
		return wantForbidden(other.createNode(w.NodeName("new"), "vnode"))
	})
	w.WithController("STALE_AFTER=4s", "LIST_INTERVAL=1s")
	w.AwaitNodesReady(1) // the node controller has taken its taint off
	vnode := w.NodeName("base-0001")
	for what, try := range map[string]func() error{
		"patch a VNode":               func() error { return other.patchNode(vnode, mine) },
		"patch the status of a VNode": func() error { return other.patchNode(vnode, unready, "status") },
		"delete a VNode":              func() error { return other.deleteNode(vnode) },
		"take a VNode's Lease":        func() error { return other.renew(corev1.NamespaceNodeLease, vnode) },
		"create a VNode's Lease":      func() error { return other.createLease(corev1.NamespaceNodeLease, w.NodeName("new")) },
		"delete a VNode's Lease":      func() error { return other.deleteLease(corev1.NamespaceNodeLease, vnode) },
	} {
		if err := wantForbidden(try()); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	w.Must(other.createLease(w.Env, "vnode.of-nobody")) // in another namespace it is nobody's
	w.Kubectl("label", "node", vnode, "team=a")         // an administrator may
	w.Must(w.Fleet.Do("base-0001", "silence"))
	w.AwaitNodeReason("base-0001", "BaseSilent")
}
