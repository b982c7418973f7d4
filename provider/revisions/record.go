package revisions

import (
	"strconv"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
)

// record is what is kept of a ReplicaSet or a ControllerRevision. Of its metadata there is
// the name, the namespace, the UID and the resource version.
type record struct {
	metav1.ObjectMeta
	// of is what its pods have as their controller.
	of       types.UID
	workload types.UID
	// number is the largest for the revision that is wanted; 0 where it has none.
	number int64
}

// The annotations in which the controllers of ReplicaSets number them, by their group.
// A Deployment's own annotations, and so those of a Rollout that was one, are copied to
// its ReplicaSets: another's number means nothing.
var annotations = map[string]string{
	appsv1.GroupName: "deployment.kubernetes.io/revision",
	"argoproj.io":    "rollout.argoproj.io/revision",
}

// shrinkReplicaSet keeps of a ReplicaSet's metadata what is used.
func shrinkReplicaSet(obj any) (any, error) {
	set, ok := obj.(*metav1.PartialObjectMetadata)
	if !ok {
		return obj, nil // it was shrunk, or stands for one that was deleted unseen
	}
	r := &record{ObjectMeta: shrink(&set.ObjectMeta)}
	r.of = r.UID
	owner := metav1.GetControllerOf(set)
	if owner == nil {
		r.workload = identified(r.Namespace, r.UID)
		return r, nil
	}
	r.workload = named(r.Namespace, owner.Kind, owner.Name)
	r.number = numberOf(set.Annotations[annotations[groupOf(owner)]])
	return r, nil
}

// numberOf reads a revision; 0 for what is none.
func numberOf(text string) int64 {
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0
	}
	return max(n, 0)
}

// shrinkControllerRevision keeps of a ControllerRevision what is used: not its data, which
// are pod templates.
func shrinkControllerRevision(obj any) (any, error) {
	revision, ok := obj.(*appsv1.ControllerRevision)
	if !ok {
		return obj, nil // as above
	}
	r := &record{ObjectMeta: shrink(&revision.ObjectMeta), number: max(revision.Revision, 0)}
	if owner := metav1.GetControllerOf(revision); owner != nil {
		r.of = types.UID(strings.Clone(string(owner.UID)))
		r.workload = identified(r.Namespace, owner.UID)
	}
	return r, nil
}

// shrink copies what is used, and lets go of the text that the object was decoded from.
func shrink(m *metav1.ObjectMeta) metav1.ObjectMeta {
	return metav1.ObjectMeta{
		Name: strings.Clone(m.Name), Namespace: strings.Clone(m.Namespace),
		UID: types.UID(strings.Clone(string(m.UID))), ResourceVersion: strings.Clone(m.ResourceVersion),
	}
}
