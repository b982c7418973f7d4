// Package pods hands the module pods of claimed Nodes over to the provider, and
// writes their statuses back. It is the only room that knows virtual-kubelet, of
// which it runs one pod controller for all Nodes of the replica: a queue that hands pods
// over. Environments are resolved and statuses written here.
//
// A Node goes through three calls: Serve takes its pods in, Show has the pod
// controller see them, Forget ends both. On tells the planner what there is. A worker
// of the provider makes all calls for a Node, one at a time; calls for different Nodes
// may come from different goroutines.
//
// The cache of pods may lag behind the Leases that told of a claim: the previous owner
// may have installed a module for a pod that was deleted since, and its statuses would
// be overwritten. So the room has a freshness barrier: Freshness tells whether the
// cache has caught up with the claim, and Confirm asks the API server where it cannot
// tell.
//
// Pods without the label of modules that were bound to these Nodes are told of once, are
// written no status, and leave once somebody deletes them (strangers.go).
//
// Guaranteed: nothing is written while Hooks.MayWrite refuses; a pod is deleted from
// the API by Finish and Evict, or as one that is no module, never by virtual-kubelet; of a
// status only what is ours is written, bound to the UID of its pod; no pod gets values of
// Secrets and ConfigMaps from before it was there; a Node that was forgotten shows nothing
// and takes nothing; Current means that every change made to the Node's pods before the
// claim is in the cache; Run returns when all that it started has ended. Not guaranteed:
// the order of writes of different pods, that a status reaches the API server before the
// Node is forgotten, or that an Event does.
package pods
