package world

import (
	"context"
	"fmt"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/watch"

	"module-controller/e2e/harness"
)

// API is a World's part of what the API server has: its Nodes, pods and Leases.
type API struct {
	testing.TB
	// Env is the World's namespace, the environment of its bases and the suffix of its
	// Nodes' names.
	Env string

	cluster      *Cluster
	installation *installation
}

// Must ends the test for an error.
func (a *API) Must(err error) {
	a.Helper()
	if err != nil {
		a.Fatal(err)
	}
}

// Eventually waits until check gives no error, and ends the test when that was not so
// in time.
func (a *API) Eventually(within time.Duration, check func() error) {
	a.Helper()
	ctx, cancel := context.WithTimeoutCause(a.Context(), within, fmt.Errorf("%s were over", within))
	defer cancel()
	a.Must(harness.Until(ctx, check))
}

// Kubectl runs kubectl as a user would.
func (a *API) Kubectl(args ...string) {
	a.Helper()
	_, err := a.cluster.Plane.Kubectl(a.Context(), args...)
	a.Must(err)
}

// OfEnv selects what carries the World's environment: Nodes and the Leases of bases.
func (a *API) OfEnv() metav1.ListOptions {
	return metav1.ListOptions{LabelSelector: "virtual-kubelet.koupleless.io/env=" + a.Env}
}

// NodeName is the name of a base's Node.
func (a *API) NodeName(identity string) string { return "vnode." + identity + "." + a.Env }

// Nodes lists the Nodes of all bases.
func (a *API) Nodes() []corev1.Node {
	a.Helper()
	list, err := a.cluster.Client.CoreV1().Nodes().List(a.Context(), a.OfEnv())
	a.Must(err)
	return list.Items
}

// NodeReady says whether a Node is Ready.
func NodeReady(n corev1.Node) bool { return readyCondition(n).Status == corev1.ConditionTrue }

// readyCondition is the zero value where a Node has none.
func readyCondition(n corev1.Node) corev1.NodeCondition {
	for _, c := range n.Status.Conditions {
		if c.Type == corev1.NodeReady {
			return c
		}
	}
	return corev1.NodeCondition{}
}

// UIDs gives the Nodes' UIDs, by name.
func UIDs(nodes []corev1.Node) map[string]types.UID {
	of := map[string]types.UID{}
	for _, n := range nodes {
		of[n.Name] = n.UID
	}
	return of
}

// AwaitNodesReady waits until there are that many Nodes, all Ready and free of the
// taint that the cluster gives to Nodes that are not.
func (a *API) AwaitNodesReady(want int) {
	a.Helper()
	a.AwaitNodesReadyWithin(Timeout, want)
}

// AwaitNodesReadyWithin is AwaitNodesReady that waits no longer than that.
func (a *API) AwaitNodesReadyWithin(within time.Duration, want int) {
	a.Helper()
	a.Eventually(within, func() error {
		ready := 0
		nodes := a.Nodes()
		for _, n := range nodes {
			if NodeReady(n) && len(n.Spec.Taints) == 2 {
				ready++
			}
		}
		if ready != want || len(nodes) != want {
			return fmt.Errorf("%d of %d nodes ready, want %d", ready, len(nodes), want)
		}
		return nil
	})
}

// AwaitNodeReason waits until the Ready condition of a base's Node has a reason.
func (a *API) AwaitNodeReason(identity, reason string) {
	a.Helper()
	a.Eventually(Timeout, func() error {
		for _, n := range a.Nodes() {
			if n.Name == a.NodeName(identity) && readyCondition(n).Reason == reason {
				return nil
			}
		}
		return fmt.Errorf("the node of %s does not show %s", identity, reason)
	})
}

// Readiness gives the reason of each Node's Ready condition and since when it is so.
func (a *API) Readiness() map[string]string {
	a.Helper()
	all := map[string]string{}
	for _, n := range a.Nodes() {
		c := readyCondition(n)
		all[n.Name] = c.Reason + " since " + c.LastTransitionTime.String()
	}
	return all
}

// AwaitNodeEvent waits until there is an Event of a reason on a base's Node.
func (a *API) AwaitNodeEvent(identity, reason string) {
	a.Helper()
	node := a.NodeName(identity)
	a.Eventually(Timeout, func() error {
		events, err := a.cluster.Client.CoreV1().Events("default").List(a.Context(), metav1.ListOptions{FieldSelector: "involvedObject.name=" + node + ",reason=" + reason})
		if err == nil && len(events.Items) == 0 {
			err = fmt.Errorf("no event %s on %s", reason, node)
		}
		return err
	})
}

// WatchNodes notes every Node that is seen not to be Ready, and every one that is
// deleted, until stop is called, which gives them.
func (a *API) WatchNodes() (stop func() []string) {
	a.Helper()
	watcher, err := a.cluster.Client.CoreV1().Nodes().Watch(a.Context(), a.OfEnv())
	a.Must(err)
	return watchReady(watcher, NodeReady, func(n corev1.Node) string {
		c := readyCondition(n)
		return fmt.Sprintf("%s: Ready is %s, %s: %s", n.Name, c.Status, c.Reason, c.Message)
	})
}

// WatchPods is WatchNodes of the pods that carry a label, such as "app=stock".
func (a *API) WatchPods(selector string) (stop func() []string) {
	a.Helper()
	watcher, err := a.cluster.Client.CoreV1().Pods(a.Env).Watch(a.Context(), metav1.ListOptions{LabelSelector: selector})
	a.Must(err)
	return watchReady(watcher, PodReady, func(p corev1.Pod) string { return fmt.Sprintf("%s: %s", p.Name, Waiting(p)) })
}

// watchReady notes what is not ready or is deleted, told by how it is.
func watchReady[T any](watcher watch.Interface, ready func(T) bool, tell func(T) string) (stop func() []string) {
	seen := make(chan []string)
	go func() {
		var bad []string
		for e := range watcher.ResultChan() {
			object, ok := any(e.Object).(*T)
			if ok && (e.Type == watch.Deleted || !ready(*object)) {
				bad = append(bad, fmt.Sprintf("%s %s %s", time.Now().Format(time.TimeOnly), e.Type, tell(*object)))
			}
		}
		seen <- bad
	}()
	return func() []string {
		watcher.Stop()
		return <-seen
	}
}

// deleteAll deletes what is left of the World.
func (a *API) deleteAll(ctx context.Context) {
	client, now := a.cluster.Client, metav1.DeleteOptions{GracePeriodSeconds: new(int64)}
	for _, err := range []error{
		client.AppsV1().Deployments(a.Env).DeleteCollection(ctx, now, metav1.ListOptions{}),
		client.CoreV1().Pods(a.Env).DeleteCollection(ctx, now, metav1.ListOptions{}),
		client.CoreV1().Nodes().DeleteCollection(ctx, now, a.OfEnv()),
		a.BaseLeases().DeleteCollection(ctx, now, a.OfEnv()),
		client.CoreV1().Namespaces().Delete(ctx, a.Env, now),
	} {
		if err != nil {
			a.Error(err)
		}
	}
}

// IgnoreNotFound gives nil for an error that says that something is not there.
func IgnoreNotFound(err error) error {
	if apierrors.IsNotFound(err) {
		return nil
	}
	return err
}
