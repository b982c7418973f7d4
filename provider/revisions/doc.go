// Package revisions says of which workload pods are, and of which of its revisions. A
// rollout, an undo too, makes the wanted revision the one with the largest number; of the
// pods alone nobody could tell which that is.
//
// | pod's controller | workload | number |
// |---|---|---|
// | ReplicaSet | its controller: Deployment, Argo Rollout | the ReplicaSet's annotation |
// | ReplicaSet without one | the ReplicaSet | 0 |
// | any with a ControllerRevision: DaemonSet, StatefulSet, those of OpenKruise | the controller | the ControllerRevision's |
// | any other | the controller | 0 |
// | none | none | 0 |
//
// It watches ReplicaSets and ControllerRevisions that have the label of module pods:
// controllers give them the labels of the pod template. An undo changes the number of an
// old revision, which wakes the Nodes that have its pods.
//
// It guarantees that two pods have the same workload only if they are in one namespace,
// that pods of one Deployment have the same also while its ReplicaSets are not known, and
// that a pod stays of the revision that it was seen to be of when the ReplicaSet is
// deleted before it. It does not guarantee that its sight is the newest: a pod whose
// ReplicaSet was not seen yet is not synced for a moment, and after that of no known
// revision.
//
// All may be called from any goroutine. Nothing blocks but Run.
package revisions
