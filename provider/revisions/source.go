package revisions

import (
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
)

// kind is what an object is that tells of a revision.
type kind int

const (
	nothing kind = iota // nothing tells
	replicaSet
	controllerRevision
)

// source names the object that tells of which revision pods are. All pods of one have
// the same controller.
type source struct {
	kind      kind
	namespace string
	name      string
	owner     types.UID // the pods' controller; empty for none
}

// key is the source's key in a cache.
func (s source) key() string { return s.namespace + "/" + s.name }

// sourceOf gives the source of a pod's revision.
func sourceOf(pod *corev1.Pod) source {
	owner := metav1.GetControllerOf(pod)
	if owner == nil {
		return source{}
	}
	s := source{namespace: pod.Namespace, owner: owner.UID}
	revision := pod.Labels[appsv1.ControllerRevisionHashLabelKey]
	switch {
	case isReplicaSet(owner):
		s.kind, s.name = replicaSet, owner.Name
	case revision != "":
		s.kind, s.name = controllerRevision, revisionName(owner.Name, revision)
	}
	return s
}

func isReplicaSet(owner *metav1.OwnerReference) bool {
	return owner.Kind == "ReplicaSet" && groupOf(owner) == appsv1.GroupName
}

func groupOf(owner *metav1.OwnerReference) string {
	group, err := schema.ParseGroupVersion(owner.APIVersion)
	if err != nil {
		return ""
	}
	return group.Group
}

// revisionName is the name of the ControllerRevision that a pod's label means. A
// StatefulSet's pods have its name, those of a DaemonSet its hash; a CloneSet's the one
// or the other. A hash has no dash.
func revisionName(owner, label string) string {
	if strings.Contains(label, "-") {
		return label
	}
	const longest = 223 // of the owner's name in that of its ControllerRevision
	return owner[:min(len(owner), longest)] + "-" + label
}

// templateHashes are the labels that tell a ReplicaSet's pods from those of others of its
// workload, by the workload's kind.
var templateHashes = map[string]string{"Deployment": appsv1.DefaultDeploymentUniqueLabelKey, "Rollout": "rollouts-pod-template-hash"}

// guess is the workload of a pod whose source tells nothing. The name of a ReplicaSet ends
// with its hash, so the guess is what the ReplicaSet would tell: pods of one workload stay
// that while one of their ReplicaSets is not known.
func guess(pod *corev1.Pod, s source) types.UID {
	if s.kind == replicaSet {
		for kind, label := range templateHashes {
			if name, cut := strings.CutSuffix(s.name, "-"+pod.Labels[label]); cut {
				return named(s.namespace, kind, name)
			}
		}
	}
	return identified(s.namespace, s.owner)
}

// identified is a workload that is known by its UID; empty for none. Whoever makes a pod
// may name any UID as its controller's, but is in its own namespace.
func identified(namespace string, uid types.UID) types.UID {
	if uid == "" {
		return ""
	}
	return types.UID(namespace + "/" + string(uid))
}

// named is a workload that is known by its kind and name.
func named(namespace, kind, name string) types.UID {
	return types.UID(namespace + "/" + kind + "/" + name)
}
