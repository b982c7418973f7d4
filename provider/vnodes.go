package provider

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/tools/cache"
)

// VNodes are the Nodes of all bases and the module pods on them, of all replicas, as the
// caches of a Provider have them.
type VNodes struct{ of *Provider }

// VNodesOf gives those of a Provider.
func VNodesOf(p *Provider) VNodes { return VNodes{p} }

// Known is closed once all Nodes and pods that were there have been seen.
func (v VNodes) Known() <-chan struct{} { return v.of.ready }

// All gives the Nodes. They must not be changed.
func (v VNodes) All() []*corev1.Node { return v.of.nodes.all() }

// PodsOn gives the module pods that are bound to a Node. They must not be changed.
func (v VNodes) PodsOn(node string) []*corev1.Pod { return v.of.pods.InCluster(node) }

// Follow has changed called with each Node that comes, goes or is another: was or is is nil
// for one that was or is not there. It must not block, nor change them.
func (v VNodes) Follow(changed func(was, is *corev1.Node)) error {
	_, err := v.of.nodes.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc:    func(obj any) { changed(nil, nodeIn(obj)) },
		UpdateFunc: func(was, is any) { changed(nodeIn(was), nodeIn(is)) },
		DeleteFunc: func(obj any) { changed(nodeIn(obj), nil) },
	})
	if err != nil {
		return fmt.Errorf("follow nodes: %w", err)
	}
	return nil
}

// nodeIn gives the Node that a cache tells of; nil for none.
func nodeIn(obj any) *corev1.Node {
	if missed, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = missed.Obj
	}
	node, _ := obj.(*corev1.Node)
	return node
}
