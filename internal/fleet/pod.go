package fleet

import (
	"context"
	"fmt"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/ptr"

	"module-controller/provider/plan"
)

// ReadPod reads a pod, what it is a replica of, its Events, and of the fleet what decides
// over it: its own base where it is bound to one, all bases and modules where it waits for one.
// An error that IsNotFound of k8s.io/apimachinery's errors knows says that there is no such
// pod.
func (r Reader) ReadPod(ctx context.Context, namespace, name string) (*Snapshot, *corev1.Pod, error) {
	pod, err := r.Client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	if err != nil {
		return nil, nil, fmt.Errorf("read pod %s/%s: %w", namespace, name, err)
	}
	in := r.begin()
	err = together(ctx,
		func(ctx context.Context) error { return in.around(ctx, pod) },
		func(ctx context.Context) error { return in.owners(ctx, pod) },
		in.eventsAbout(namespace, "involvedObject.uid="+string(pod.UID)))
	if err != nil {
		return nil, nil, err
	}
	return in.end(), pod, nil
}

// around reads of the fleet what decides over a pod.
func (in *read) around(ctx context.Context, pod *corev1.Pod) error {
	node := pod.Spec.NodeName
	if _, onBase := plan.BaseOf(node); !onBase {
		return in.fleet(ctx, Scope{Modules: IsModule(pod), Replicas: true})
	}
	return in.base(ctx, node)
}

// ReadBase reads one base, its pods and its Events, and the members.
func (r Reader) ReadBase(ctx context.Context, name string) (*Snapshot, error) {
	in := r.begin()
	if err := in.base(ctx, name); err != nil {
		return nil, err
	}
	return in.end(), nil
}

// base reads a base by its name.
func (in *read) base(ctx context.Context, name string) error {
	return together(ctx, in.version, in.members,
		func(ctx context.Context) error {
			node, err := in.Client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
			return in.take("Node "+name, err, func() { in.o.Nodes = append(in.o.Nodes, *node) })
		},
		func(ctx context.Context) error {
			lease, err := in.Client.CoordinationV1().Leases(corev1.NamespaceNodeLease).Get(ctx, name, metav1.GetOptions{})
			return in.take("Lease "+name, err, func() { in.o.BaseLeases = append(in.o.BaseLeases, *lease) })
		},
		in.podsOn(name),
		in.pods(in.Namespace, replicas, "", "the controller's pods", &in.o.Replicas),
		in.eventsAbout(metav1.NamespaceDefault, "involvedObject.kind=Node,involvedObject.name="+name))
}

// podsOn reads all pods that are bound to a Node.
func (in *read) podsOn(node string) part {
	return func(ctx context.Context) error {
		var all []corev1.Pod
		err := in.pods(metav1.NamespaceAll, "", "spec.nodeName="+node, "pods on "+node, &all)(ctx)
		in.mu.Lock()
		defer in.mu.Unlock()
		for i := range all {
			if IsModule(&all[i]) {
				in.o.Modules = append(in.o.Modules, all[i])
			} else {
				in.o.Strangers = append(in.o.Strangers, all[i])
			}
		}
		return err
	}
}

// mostOwners is how many owners above a pod are read.
const mostOwners = 3

// owners reads what a pod is a replica of, up to what nobody made.
func (in *read) owners(ctx context.Context, pod *corev1.Pod) error {
	in.mu.Lock()
	in.o.Owners = map[types.UID]Owner{}
	in.mu.Unlock()
	ref := metav1.GetControllerOf(pod)
	for range mostOwners {
		if ref == nil {
			return nil
		}
		by, err := in.owner(ctx, pod.Namespace, *ref)
		if err != nil {
			return err
		}
		ref = by
	}
	return nil
}

// owner reads one object that makes pods, and gives who made it.
func (in *read) owner(ctx context.Context, namespace string, ref metav1.OwnerReference) (by *metav1.OwnerReference, err error) {
	is := Owner{Kind: ref.Kind, Namespace: namespace, Name: ref.Name, Wanted: -1}
	apps := in.Client.AppsV1()
	what := ref.Kind + " " + ref.Name
	switch ref.Kind {
	case "ReplicaSet":
		o, err := apps.ReplicaSets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		return by, in.take(what, err, func() { by = in.replicaSet(is, o) })
	case "Deployment":
		o, err := apps.Deployments(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		return by, in.take(what, err, func() { by = in.deployment(is, o) })
	case "DaemonSet":
		o, err := apps.DaemonSets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		return by, in.take(what, err, func() {
			is.Wanted, is.Made, is.Ready = o.Status.DesiredNumberScheduled, o.Status.CurrentNumberScheduled, o.Status.NumberReady
			by = in.keep(is, o)
		})
	case "StatefulSet":
		o, err := apps.StatefulSets(namespace).Get(ctx, ref.Name, metav1.GetOptions{})
		return by, in.take(what, err, func() {
			is.Wanted, is.Made, is.Ready = ptr.Deref(o.Spec.Replicas, 1), o.Status.Replicas, o.Status.ReadyReplicas
			by = in.keep(is, o)
		})
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.o.Owners[ref.UID] = is
	return nil, nil
}

func (in *read) replicaSet(is Owner, o *appsv1.ReplicaSet) *metav1.OwnerReference {
	is.Wanted, is.Made, is.Ready = ptr.Deref(o.Spec.Replicas, 1), o.Status.Replicas, o.Status.ReadyReplicas
	for _, c := range o.Status.Conditions {
		if c.Type == appsv1.ReplicaSetReplicaFailure && c.Status == corev1.ConditionTrue {
			is.Trouble = c.Message
		}
	}
	return in.keep(is, o)
}

func (in *read) deployment(is Owner, o *appsv1.Deployment) *metav1.OwnerReference {
	is.Wanted, is.Made, is.Ready = ptr.Deref(o.Spec.Replicas, 1), o.Status.Replicas, o.Status.ReadyReplicas
	for _, c := range o.Status.Conditions {
		if c.Type != appsv1.DeploymentAvailable && c.Reason != "" && c.Status == corev1.ConditionFalse {
			is.Trouble = c.Message
		}
	}
	return in.keep(is, o)
}

// keep keeps an owner, and gives who made it. mu is held.
func (in *read) keep(is Owner, o metav1.Object) *metav1.OwnerReference {
	by := metav1.GetControllerOf(o)
	if by != nil {
		is.By = by.UID
	}
	in.o.Owners[o.GetUID()] = is
	return by
}
