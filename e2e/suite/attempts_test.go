package suite

import (
	"context"
	"errors"

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
	return clientAs(w, harness.Namespace, harness.ServiceAccount, "thief")
}

// clientAs gives a client with a service account's credentials, and a name of its own.
func clientAs(w *world.World, namespace, account, agent string) kubernetes.Interface {
	w.Helper()
	path, err := cluster.Plane.KubeconfigFor(w.Context(), namespace, account)
	w.Must(err)
	config, err := clientcmd.BuildConfigFromFlags("", path)
	w.Must(err)
	config.UserAgent = agent
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

// makePod makes a pod on a Node, or on none for "", gone after the test. It tolerates all taints,
// or it would be evicted from a VNode at once.
func makePod(w *world.World, namespace, name, node, of string) {
	w.Helper()
	pods := cluster.Client.CoreV1().Pods(namespace)
	_, err := pods.Create(w.Context(), &corev1.Pod{ObjectMeta: object(name, of), Spec: corev1.PodSpec{
		NodeName: node, Containers: []corev1.Container{{Name: "c", Image: "i"}}, Tolerations: []corev1.Toleration{{Operator: corev1.TolerationOpExists}},
	}}, metav1.CreateOptions{})
	w.Must(err)
	w.Cleanup(func() {
		w.Must(world.IgnoreNotFound(pods.Delete(context.Background(), name, metav1.DeleteOptions{GracePeriodSeconds: new(int64)})))
	})
}

// attempts gives what somebody with a client may try, by what it is. Nothing of it is
// done: all are dry runs, which are admitted or refused like others.
type attempts struct {
	*world.World
	client kubernetes.Interface
}

// wantForbidden gives nil for an error that says that something is forbidden.
func wantForbidden(err error) error {
	switch {
	case apierrors.IsForbidden(err):
		return nil
	case err == nil:
		return errors.New("it is allowed")
	}
	return err
}

var dry = []string{metav1.DryRunAll}

func (a attempts) patchNode(name string, patch string, subresource ...string) error {
	_, err := a.client.CoreV1().Nodes().Patch(a.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dry}, subresource...)
	return err
}

func (a attempts) createNode(name, of string) error {
	_, err := a.client.CoreV1().Nodes().Create(a.Context(), &corev1.Node{ObjectMeta: object(name, of)}, metav1.CreateOptions{DryRun: dry})
	return err
}

func (a attempts) deleteNode(name string) error {
	return a.client.CoreV1().Nodes().Delete(a.Context(), name, metav1.DeleteOptions{DryRun: dry})
}

func (a attempts) renew(namespace, name string) error {
	lease, err := cluster.Client.CoordinationV1().Leases(namespace).Get(a.Context(), name, metav1.GetOptions{})
	if err != nil {
		return err
	}
	now := metav1.NowMicro()
	lease.Spec.RenewTime = &now
	_, err = a.client.CoordinationV1().Leases(namespace).Update(a.Context(), lease, metav1.UpdateOptions{DryRun: dry})
	return err
}

func (a attempts) createLease(namespace, name string) error {
	_, err := a.client.CoordinationV1().Leases(namespace).Create(a.Context(), &coordinationv1.Lease{ObjectMeta: object(name, "")}, metav1.CreateOptions{DryRun: dry})
	return err
}

func (a attempts) deleteLease(namespace, name string) error {
	return a.client.CoordinationV1().Leases(namespace).Delete(a.Context(), name, metav1.DeleteOptions{DryRun: dry})
}

func (a attempts) deletePod(namespace, name string) error {
	return a.client.CoreV1().Pods(namespace).Delete(a.Context(), name, metav1.DeleteOptions{DryRun: dry})
}

func (a attempts) patchPodStatus(namespace, name, patch string) error {
	_, err := a.client.CoreV1().Pods(namespace).Patch(a.Context(), name, types.MergePatchType, []byte(patch), metav1.PatchOptions{DryRun: dry}, "status")
	return err
}

func (a attempts) readSecret(namespace string) error {
	_, err := a.client.CoreV1().Secrets(namespace).Get(a.Context(), "keys", metav1.GetOptions{})
	return err
}

const (
	unready   = `{"status":{"conditions":[]}}`
	mine      = `{"metadata":{"labels":{"` + component + `":"vnode"}}}`
	notMine   = `{"metadata":{"labels":{"` + component + `":null}}}`
	asModule  = `{"metadata":{"labels":{"` + component + `":"module"}},"status":{"message":"x"}}`
	asService = `{"metadata":{"labels":{"app":"payments"}}}`
	aMessage  = `{"status":{"message":"x"}}`

	asSucceeded    = `{"status":{"phase":"Succeeded"}}`
	asFailed       = `{"status":{"phase":"Failed"}}`
	asFailedModule = `{"metadata":{"labels":{"` + component + `":"module"}},"status":{"phase":"Failed"}}`
)

// asNodeWriter gives a client of somebody who may write Nodes and Leases by RBAC.
func asNodeWriter(w *world.World) kubernetes.Interface {
	w.Helper()
	name := "node-writer-" + w.Env
	w.Kubectl("create", "clusterrole", name, "--verb=*", "--resource=nodes,nodes/status,leases.coordination.k8s.io")
	w.Kubectl("create", "clusterrolebinding", name, "--clusterrole="+name, "--serviceaccount="+w.Env+":default")
	w.Cleanup(func() {
		_, err := cluster.Plane.Kubectl(context.Background(), "delete", "clusterrole,clusterrolebinding", name)
		w.Must(err)
	})
	return clientAs(w, w.Env, "default", "node-writer")
}
