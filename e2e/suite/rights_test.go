package suite

import (
	"context"
	"fmt"
	"strings"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"

	"module-controller/e2e/harness"
	"module-controller/e2e/world"
)

// asController gives a client with the service account of the manifests, for whoever
// stole its token. It is not a replica: what it is refused does not count for theirs.
func asController(w *world.World) kubernetes.Interface {
	w.Helper()
	path, err := cluster.Plane.KubeconfigFor(w.Context(), harness.Namespace, harness.ServiceAccount)
	w.Must(err)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	w.Must(err)
	config.UserAgent = "thief"
	client, err := kubernetes.NewForConfig(config)
	w.Must(err)
	return client
}

const component = "virtual-kubelet.koupleless.io/component"

// object is the metadata of an object with a component label, or none for "".
func object(name, of string) metav1.ObjectMeta {
	meta := metav1.ObjectMeta{Name: name, Labels: map[string]string{"app": name}}
	if of != "" {
		meta.Labels[component] = of
	}
	return meta
}

// makeNode makes a Node with its Lease, both gone after the test.
func makeNode(w *world.World, name, of string) {
	w.Helper()
	nodes := cluster.Client.CoreV1().Nodes()
	_, err := nodes.Create(w.Context(), &corev1.Node{ObjectMeta: object(name, of)}, metav1.CreateOptions{})
	w.Must(err)
	_, err = w.BaseLeases().Create(w.Context(), &coordinationv1.Lease{ObjectMeta: object(name, "")}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() {
		w.Must(world.IgnoreNotFound(nodes.Delete(context.Background(), name, metav1.DeleteOptions{})))
		w.Must(world.IgnoreNotFound(w.BaseLeases().Delete(context.Background(), name, metav1.DeleteOptions{})))
	})
}

// makePod makes a pod on a Node, or on none for "", gone after the test.
func makePod(w *world.World, namespace, name, node, of string) {
	w.Helper()
	pods := cluster.Client.CoreV1().Pods(namespace)
	_, err := pods.Create(w.Context(), &corev1.Pod{ObjectMeta: object(name, of), Spec: corev1.PodSpec{
		NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}},
	}}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() {
		w.Must(world.IgnoreNotFound(pods.Delete(context.Background(), name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})))
	})
}

// attempts gives what somebody with a client may try, by what it is. Nothing of it is
// done: all are dry runs, which are admitted or refused like others.
type attempts struct {
	ctx    context.Context
	client kubernetes.Interface
}

var dry = []string{metav1.DryRunAll}

func (a attempts) patchNode(name string, patch string, subresource ...string) error {
	_, err := a.client.CoreV1().Nodes().Patch(a.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dry}, subresource...)
	return err
}

func (a attempts) createNode(name, of string) error {
	_, err := a.client.CoreV1().Nodes().Create(a.ctx, &corev1.Node{ObjectMeta: object(name, of)}, metav1.CreateOptions{DryRun: dry})
	return err
}

func (a attempts) deleteNode(name string) error {
	return a.client.CoreV1().Nodes().Delete(a.ctx, name, metav1.DeleteOptions{DryRun: dry})
}

func (a attempts) renew(namespace, name string) error {
	lease, err := cluster.Client.CoordinationV1().Leases(namespace).Get(a.ctx, name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now := metav1.NowMicro()
	lease.Spec.RenewTime = &now
	_, err = a.client.CoordinationV1().Leases(namespace).Update(a.ctx, lease, metav1.UpdateOptions{DryRun: dry})
	return err
}

func (a attempts) createLease(namespace, name string) error {
	_, err := a.client.CoordinationV1().Leases(namespace).Create(a.ctx, &coordinationv1.Lease{ObjectMeta: object(name, "")}, metav1.CreateOptions{DryRun: dry})
	return err
}

func (a attempts) deleteLease(namespace, name string) error {
	return a.client.CoordinationV1().Leases(namespace).Delete(a.ctx, name, metav1.DeleteOptions{DryRun: dry})
}

func (a attempts) deletePod(namespace, name string) error {
	return a.client.CoreV1().Pods(namespace).Delete(a.ctx, name, metav1.DeleteOptions{DryRun: dry})
}

func (a attempts) patchPodStatus(namespace, name, patch string) error {
	_, err := a.client.CoreV1().Pods(namespace).Patch(a.ctx, name, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dry}, "status")
	return err
}

func (a attempts) readSecret(namespace string) error {
	_, err := a.client.CoreV1().Secrets(namespace).Get(a.ctx, "keys", metav1.GetOptions{})
	return err
}

const (
	unready   = `{"status":{"conditions":[]}}`
	mine      = `{"metadata":{"labels":{"` + component + `":"vnode"}}}`
	notMine   = `{"metadata":{"labels":{"` + component + `":null}}}`
	asModule  = `{"metadata":{"labels":{"` + component + `":"module"}},"status":{"message":"x"}}`
	asService = `{"metadata":{"labels":{"app":"payments"}}}`
	aMessage  = `{"status":{"message":"x"}}`
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
	makePod(w, system, "dns-"+w.Env, real, "")
	_, err := cluster.Client.CoreV1().Secrets(ours).Create(t.Context(), &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Name: "keys"}}, metav1.CreateOptions{})
	w.Must(err)
	thief := attempts{ctx: t.Context(), client: asController(w)}
	w.Eventually(world.Timeout, func() error { // the API server takes a new policy in a moment later
		if err := thief.deleteNode(real); !apierrors.IsForbidden(err) {
			return fmt.Errorf("a real Node can be deleted: %v", err)
		}
		return nil
	})

	refused := map[string]func() error{
		"patch a real Node":                     func() error { return thief.patchNode(real, mine) },
		"patch the status of a real Node":       func() error { return thief.patchNode(real, unready, "status") },
		"delete a real Node":                    func() error { return thief.deleteNode(real) },
		"create a real Node":                    func() error { return thief.createNode("new-"+w.Env, "vnode") },
		"create a VNode without its label":      func() error { return thief.createNode(w.NodeName("new"), "") },
		"take the label off a VNode":            func() error { return thief.patchNode(vnode, notMine) },
		"take the label off by the status":      func() error { return thief.patchNode(vnode, notMine, "status") },
		"delete a Node without the label":       func() error { return thief.deleteNode(foreign) },
		"status of a Node without the label":    func() error { return thief.patchNode(foreign, unready, "status") },
		"renew the Lease of a real Node":        func() error { return thief.renew(corev1.NamespaceNodeLease, real) },
		"delete the Lease of a real Node":       func() error { return thief.deleteLease(corev1.NamespaceNodeLease, real) },
		"create the Lease of a real Node":       func() error { return thief.createLease(corev1.NamespaceNodeLease, "new-"+w.Env) },
		"create a Lease in kube-system":         func() error { return thief.createLease(system, "vnode.x") },
		"delete a pod of kube-system":           func() error { return thief.deletePod(system, "dns-"+w.Env) },
		"delete a DaemonSet's pod on a VNode":   func() error { return thief.deletePod(ours, "agent") },
		"delete a pod with the label elsewhere": func() error { return thief.deletePod(ours, "elsewhere") },
		"delete a pod bound to nothing":         func() error { return thief.deletePod(ours, "unbound") },
		"status of a pod of kube-system":        func() error { return thief.patchPodStatus(system, "dns-"+w.Env, aMessage) },
		"label a pod as a module":               func() error { return thief.patchPodStatus(ours, "agent", asModule) },
		"have a Service select a module":        func() error { return thief.patchPodStatus(ours, "module", asService) },
		"read a Secret":                         func() error { return thief.readSecret(ours) },
		"read a Secret of kube-system":          func() error { return thief.readSecret(system) },
	}
	for what, try := range refused {
		if err := try(); !apierrors.IsForbidden(err) {
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
		"create a member's Lease":        func() error { return thief.createLease(harness.Namespace, "module-controller-9") },
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
// and is installed once that is there.
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
