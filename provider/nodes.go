package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strconv"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"module-controller/internal/rewatch"
	"module-controller/internal/watchlag"
	"module-controller/provider/lifecycle"
	"module-controller/provider/plan"
)

// nodes reads and writes the Nodes that bases became. It decides nothing about them.
type nodes struct {
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
	meter    Meter
	log      *zap.Logger
	lag      watchlag.Lag // of informer
}

func newNodes(client kubernetes.Interface, meter Meter, log *zap.Logger) *nodes {
	lw := rewatch.Of(client, client.CoreV1().Nodes(), func(o *metav1.ListOptions) {
		o.LabelSelector = plan.LabelComponent + "=" + plan.ComponentVNode
	})
	informer := cache.NewSharedIndexInformer(lw, &corev1.Node{}, 0, cache.Indexers{byKubelet: kubeletsOf})
	if err := informer.SetTransform(withoutManagedFields); err != nil {
		panic(err) // it can only be refused after the informer was started
	}
	n := &nodes{client: client, informer: informer, meter: meter, log: log}
	n.lag.Follow(informer.GetStore().LastStoreSyncResourceVersion)
	return n
}

// withoutManagedFields keeps the cache small: nothing here reads them.
func withoutManagedFields(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}

// get gives a Node as the cache has it; nil for none. It must not be changed.
func (n *nodes) get(name string) *corev1.Node {
	obj, ok, err := n.informer.GetStore().GetByKey(name)
	if err != nil || !ok {
		return nil
	}
	return obj.(*corev1.Node)
}

// all gives the Nodes that the cache has. They must not be changed.
func (n *nodes) all() []*corev1.Node {
	objs := n.informer.GetStore().List()
	all := make([]*corev1.Node, 0, len(objs))
	for _, obj := range objs {
		all = append(all, obj.(*corev1.Node))
	}
	return all
}

// byKubelet is the index of Nodes by where they show that their kubelet's API is served.
const byKubelet = "kubelet"

// kubeletsOf gives the keys of a Node in byKubelet.
func kubeletsOf(obj any) ([]string, error) {
	node, is := obj.(*corev1.Node)
	if !is || plan.KubeletOf(node) == (plan.Endpoint{}) {
		return nil, nil
	}
	return []string{keyOf(plan.KubeletOf(node))}, nil
}

func keyOf(at plan.Endpoint) string { return net.JoinHostPort(at.Host, strconv.Itoa(int(at.Port))) }

// othersAt gives what says whether another Node than the one of that name, of those that the
// cache has, shows that its kubelet's API is served at an endpoint.
func (n *nodes) othersAt(name string) func(plan.Endpoint) bool {
	return func(at plan.Endpoint) bool {
		names, err := n.informer.GetIndexer().IndexKeys(byKubelet, keyOf(at))
		return err != nil || slices.ContainsFunc(names, func(other string) bool { return other != name })
	}
}

// address is the address of a Node's base; empty where it is not known.
func (n *nodes) address(name string) string {
	if node := n.get(name); node != nil {
		return plan.BaseAddress(node)
	}
	return ""
}

// allocatable is what a Node has for pods; nil where it is not known. It must not be changed.
func (n *nodes) allocatable(name string) corev1.ResourceList {
	if node := n.get(name); node != nil {
		return node.Status.Allocatable
	}
	return nil
}

// watch calls changed for a Node whose content differs, and for one that was deleted: lost
// is its UID then, and else empty. It calls added for a Node that is new. Neither may block.
func (n *nodes) watch(added func(name string), changed func(name string, lost types.UID)) error {
	_, err := n.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if node, ok := obj.(*corev1.Node); ok {
				added(node.Name)
			}
		},
		UpdateFunc: func(was, is any) {
			before, after := was.(*corev1.Node), is.(*corev1.Node)
			if !sameDescription(before, after) || !equality.Semantic.DeepEqual(before.Status, after.Status) {
				changed(after.Name, "")
			}
		},
		DeleteFunc: func(obj any) {
			if missed, ok := obj.(cache.DeletedFinalStateUnknown); ok {
				obj = missed.Obj
			}
			if node, ok := obj.(*corev1.Node); ok {
				changed(node.Name, node.UID)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	return nil
}

// sameDescription says whether two states of a Node differ in their status at most.
func sameDescription(a, b *corev1.Node) bool {
	of := func(n *corev1.Node) *corev1.Node {
		return &corev1.Node{ObjectMeta: metav1.ObjectMeta{Labels: n.Labels, Annotations: n.Annotations}, Spec: n.Spec}
	}
	return equality.Semantic.DeepEqual(of(a), of(b))
}

// nodeTimeout bounds what is written of one Node, for a worker waits for it.
const nodeTimeout = 30 * time.Second

// write writes what differs on a base's Node, and tells the base what the API server has
// then. Found says that the Node was there although the cache did not have it: the base
// is to be reconciled again.
func (n *nodes) write(ctx context.Context, b *lifecycle.Base, w lifecycle.Write) (found bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	switch {
	case w.Node == nil:
		return false, nil
	case w.Was == nil:
		node, created, err := n.create(ctx, w.Node)
		switch {
		case err != nil:
			return false, err
		case created:
			b.NodeWritten(node, true, time.Now())
		default:
			b.NodeFound(node)
		}
		return !created, nil
	}
	node, status, err := n.patch(ctx, w.Was, w.Node)
	if node != nil {
		b.NodeWritten(node, status, time.Now())
	}
	switch {
	case apierrors.IsNotFound(err):
		b.NodeMissing()
	case apierrors.IsConflict(err):
		n.readAnew(ctx, b, w.Was.Name)
	}
	return false, err
}

// readAnew tells a base how its Node is that somebody changed: one that has not our labels
// yet is not in the cache, which would tell it else.
func (n *nodes) readAnew(ctx context.Context, b *lifecycle.Base, name string) {
	node, err := n.client.CoreV1().Nodes().Get(ctx, name, metav1.GetOptions{})
	if err == nil {
		b.NodeRead(node)
	}
}

// create creates a Node. Where one of the name is there, it gives that one, and created
// is false: it was not in the cache, for it has not our labels yet.
func (n *nodes) create(ctx context.Context, want *corev1.Node) (node *corev1.Node, created bool, err error) {
	node, err = n.client.CoreV1().Nodes().Create(ctx, want, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		there, readErr := n.client.CoreV1().Nodes().Get(ctx, want.Name, metav1.GetOptions{})
		if readErr == nil {
			return there, false, nil
		}
		err = readErr
	}
	n.meter.Wrote("node", err)
	if err != nil {
		return nil, false, fmt.Errorf("create node %s: %w", want.Name, err)
	}
	n.lag.Wrote(node.ResourceVersion, time.Now())
	n.log.Info("node created", zap.String("node", node.Name))
	return node, true, nil
}

// patch writes the difference between two states of a Node: its description and spec in
// one request, its status in another, each only where it differs. It gives the Node as
// the last request that succeeded left it, nil for none, and whether the status was
// written.
func (n *nodes) patch(ctx context.Context, current, want *corev1.Node) (node *corev1.Node, status bool, err error) {
	if !sameDescription(current, want) {
		was, is := current.DeepCopy(), want.DeepCopy()
		was.Status, is.Status = corev1.NodeStatus{}, corev1.NodeStatus{}
		if !equality.Semantic.DeepEqual(was.Spec.Taints, is.Spec.Taints) {
			was.ResourceVersion = "" // the list is replaced whole, so nobody may have changed it meanwhile
		}
		if node, err = n.patchPart(ctx, was, is); err != nil {
			return nil, false, err
		}
	}
	if equality.Semantic.DeepEqual(current.Status, want.Status) {
		return node, false, nil
	}
	was, is := &corev1.Node{Status: current.Status}, &corev1.Node{Status: want.Status}
	was.Name, is.Name = current.Name, current.Name
	after, err := n.patchPart(ctx, was, is, "status")
	if err != nil {
		return node, false, err
	}
	return after, true, nil
}

func (n *nodes) patchPart(ctx context.Context, was, is *corev1.Node, subresource ...string) (*corev1.Node, error) {
	patch, err := nodePatch(was, is)
	if err != nil {
		return nil, fmt.Errorf("patch node %s: %w", is.Name, err)
	}
	node, err := n.client.CoreV1().Nodes().Patch(ctx, is.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, subresource...)
	n.meter.Wrote("node", err)
	if err != nil {
		return nil, fmt.Errorf("patch node %s: %w", is.Name, err)
	}
	n.lag.Wrote(node.ResourceVersion, time.Now())
	return node, nil
}

func nodePatch(was, is *corev1.Node) ([]byte, error) {
	before, err := json.Marshal(was)
	if err != nil {
		return nil, err
	}
	after, err := json.Marshal(is)
	if err != nil {
		return nil, err
	}
	patch, err := strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Node{})
	if err != nil || slices.Equal(was.Status.Addresses, is.Status.Addresses) {
		return patch, err
	}
	return withAddresses(patch, is.Status.Addresses)
}

// withAddresses has a patch of a Node's status replace its addresses whole. They are merged by
// type else, and of those of one type only one would be left.
func withAddresses(patch []byte, addresses []corev1.NodeAddress) ([]byte, error) {
	var all map[string]any
	if err := json.Unmarshal(patch, &all); err != nil {
		return nil, err
	}
	status, is := all["status"].(map[string]any)
	if !is {
		return nil, fmt.Errorf("the patch of addresses has no status: %s", patch)
	}
	list := []any{map[string]string{"$patch": "replace"}}
	for _, a := range addresses {
		list = append(list, a)
	}
	status["addresses"] = list
	delete(status, "$setElementOrder/addresses")
	return json.Marshal(all)
}

// delete deletes a Node, unless it is another one of the name. One that is gone is well.
func (n *nodes) delete(ctx context.Context, node *corev1.Node) error {
	ctx, cancel := context.WithTimeout(ctx, nodeTimeout)
	defer cancel()
	err := n.client.CoreV1().Nodes().Delete(ctx, node.Name, *metav1.NewPreconditionDeleteOptions(string(node.UID)))
	n.meter.Wrote("node", err)
	if err == nil || apierrors.IsNotFound(err) {
		return nil
	}
	return fmt.Errorf("delete node %s: %w", node.Name, err)
}
