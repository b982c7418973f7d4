package provider

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/apimachinery/pkg/util/strategicpatch"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// nodeCache has the Nodes that bases became, as the API server tells of them.
type nodeCache struct {
	client   kubernetes.Interface
	informer cache.SharedIndexInformer
}

func newNodeCache(client kubernetes.Interface) *nodeCache {
	factory := informers.NewSharedInformerFactoryWithOptions(client, 0,
		informers.WithTransform(dropManagedFields),
		informers.WithTweakListOptions(func(o *metav1.ListOptions) {
			o.LabelSelector = plan.LabelComponent + "=" + plan.ComponentVNode
		}))
	return &nodeCache{client: client, informer: factory.Core().V1().Nodes().Informer()}
}

// dropManagedFields keeps the caches small: nothing here reads them.
func dropManagedFields(obj any) (any, error) {
	if o, ok := obj.(metav1.Object); ok {
		o.SetManagedFields(nil)
	}
	return obj, nil
}

func (c *nodeCache) get(name string) *corev1.Node {
	obj, ok, err := c.informer.GetStore().GetByKey(name)
	if err != nil || !ok {
		return nil
	}
	return obj.(*corev1.Node)
}

// address is the address of a Node's base; empty where it is not known.
func (c *nodeCache) address(name string) string {
	if node := c.get(name); node != nil {
		for _, a := range node.Status.Addresses {
			if a.Type == corev1.NodeInternalIP {
				return a.Address
			}
		}
	}
	return ""
}

// newest is the newer of what was written last and what the cache has: the cache
// may lag behind our own writes.
func newest(written, cached *corev1.Node) *corev1.Node {
	switch {
	case written == nil:
		return cached
	case cached == nil:
		return written
	}
	if order, err := resourceversion.CompareResourceVersion(written.ResourceVersion, cached.ResourceVersion); err == nil && order > 0 {
		return written
	}
	return cached
}

// watchNodes wakes a base when its Node was changed or deleted by somebody.
func (p *Provider) watchNodes() error {
	wake := func(obj any) {
		if node, ok := unwrap(obj).(*corev1.Node); ok {
			if id, known := p.bases.onNode(node.Name); known {
				p.queue.Add(id)
			}
		}
	}
	_, err := p.nodes.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		UpdateFunc: func(was, is any) {
			if before, ok := was.(*corev1.Node); !ok || !sameNode(before, is.(*corev1.Node)) {
				wake(is)
			}
		},
		DeleteFunc: func(obj any) {
			if node, ok := unwrap(obj).(*corev1.Node); ok {
				if b := p.bases.byNodeName(node.Name); b != nil {
					b.lostNode(node.UID)
				}
			}
			wake(obj)
		},
	})
	if err != nil {
		return fmt.Errorf("watch nodes: %w", err)
	}
	return nil
}

func sameNode(a, b *corev1.Node) bool {
	return maps.Equal(a.Labels, b.Labels) && maps.Equal(a.Annotations, b.Annotations) &&
		equality.Semantic.DeepEqual(a.Spec, b.Spec) && equality.Semantic.DeepEqual(a.Status, b.Status)
}

// ensureNode creates the base's Node, or writes what differs, or, every
// Config.NodeEvery, new heartbeat times.
func (p *Provider) ensureNode(ctx context.Context, b *base, age plan.Age, now time.Time, pods []plan.Pod) error {
	if lost := b.takeLost(); b.written != nil && b.written.UID == lost {
		b.written = nil
	}
	current := newest(b.written, p.nodes.get(b.node))
	if b.written != nil {
		b.written = current // once the cache has caught up, one copy is enough
	}
	if current == nil && (b.heardAt.IsZero() || age.NotReady != "") {
		return nil // only a fresh sign of life creates a Node
	}
	if current == nil && b.health == nil && now.Before(b.adopted.Add(healthPatience)) {
		return nil // with its true capacity from the start, the scheduler is not misled
	}
	if b.touched.IsZero() && b.written == nil && current != nil {
		b.touched = now // adopted: it was written lately
	}
	want := plan.Node(plan.NodeInput{
		Now: now, Name: b.node, Heartbeat: b.beat, Health: b.health, NotReady: age.NotReady, Message: age.Message,
		Running: runningMemory(pods), Installed: b.noted,
		Touch: now.Sub(b.touched) >= p.cfg.NodeEvery, Config: p.cfg.Node,
	}, current)
	if current == nil {
		return p.createNode(ctx, b, want, now)
	}
	return p.patchNode(ctx, b, current, want, now)
}

// healthPatience is how long a new base's Node waits for its health.
const healthPatience = time.Second

func (p *Provider) createNode(ctx context.Context, b *base, want *corev1.Node, now time.Time) error {
	node, err := p.deps.Client.CoreV1().Nodes().Create(ctx, want, metav1.CreateOptions{})
	if apierrors.IsAlreadyExists(err) {
		// Not in our cache, for it has not our labels yet: another controller's.
		if node, err = p.deps.Client.CoreV1().Nodes().Get(ctx, want.Name, metav1.GetOptions{}); err == nil {
			b.written, b.touched = node, time.Time{}
			p.queue.Add(b.id)
			return nil
		}
	}
	p.meter.Wrote("node", err)
	if err != nil {
		return fmt.Errorf("create node %s: %w", want.Name, err)
	}
	p.log.Info("node created", zap.String("node", node.Name), zap.Stringer("base", b.id))
	b.written, b.touched = node, now
	return nil
}

// patchNode writes the difference between two states of a Node: its description
// and spec in one request, its status in another, each only where it differs.
func (p *Provider) patchNode(ctx context.Context, b *base, current, want *corev1.Node, now time.Time) error {
	if !maps.Equal(current.Labels, want.Labels) || !maps.Equal(current.Annotations, want.Annotations) ||
		!equality.Semantic.DeepEqual(current.Spec, want.Spec) {
		was, is := current.DeepCopy(), want.DeepCopy()
		was.Status, is.Status = corev1.NodeStatus{}, corev1.NodeStatus{}
		if !equality.Semantic.DeepEqual(was.Spec.Taints, is.Spec.Taints) {
			was.ResourceVersion = "" // the list is replaced whole, so nobody may have changed it meanwhile
		}
		if err := p.patchNodePart(ctx, b, was, is); err != nil {
			return err
		}
	}
	if equality.Semantic.DeepEqual(current.Status, want.Status) {
		return nil
	}
	was, is := &corev1.Node{Status: current.Status}, &corev1.Node{Status: want.Status}
	was.Name, is.Name = b.node, b.node
	if err := p.patchNodePart(ctx, b, was, is, "status"); err != nil {
		return err
	}
	b.touched = now
	return nil
}

func (p *Provider) patchNodePart(ctx context.Context, b *base, was, is *corev1.Node, subresource ...string) error {
	patch, err := nodePatch(was, is)
	if err != nil {
		return fmt.Errorf("patch node %s: %w", b.node, err)
	}
	node, err := p.deps.Client.CoreV1().Nodes().Patch(ctx, b.node, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, subresource...)
	p.meter.Wrote("node", err)
	if apierrors.IsNotFound(err) {
		b.written = nil
	}
	if err != nil {
		return fmt.Errorf("patch node %s: %w", b.node, err)
	}
	b.written = node
	return nil
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
	return strategicpatch.CreateTwoWayMergePatch(before, after, corev1.Node{})
}

// retire ends a base's life here: its Node is deleted, what was installed on it
// is remembered in case it comes back, and its claim is given up.
func (p *Provider) retire(ctx context.Context, b *base, why string) error {
	if node := newest(b.written, p.nodes.get(b.node)); node != nil {
		err := p.deps.Client.CoreV1().Nodes().Delete(ctx, b.node, *metav1.NewPreconditionDeleteOptions(string(node.UID)))
		p.meter.Wrote("node", err)
		if err != nil && !apierrors.IsNotFound(err) {
			return fmt.Errorf("delete node %s: %w", b.node, err)
		}
	}
	p.letGo(b)
	p.log.Info("base retired", zap.Stringer("base", b.id), zap.String("node", b.node), zap.String("why", why))
	if len(b.installed) > 0 {
		p.installed.Add(b.id, b.installed)
	}
	p.bases.remove(b)
	p.deps.Retired(b.id)
	return nil
}

// replaceApplication retires a base whose address another application took over.
// The pods of the old one are deleted, so that their modules are placed anew; the
// new one becomes a base of its own.
func (p *Provider) replaceApplication(ctx context.Context, b *base) error {
	for _, pod := range p.shown.onNode(b.node) {
		opts := metav1.NewDeleteOptions(0)
		opts.Preconditions = metav1.NewUIDPreconditions(string(pod.UID))
		err := p.deps.Client.CoreV1().Pods(pod.Namespace).Delete(ctx, pod.Name, *opts)
		if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("delete pod %s/%s: %w", pod.Namespace, pod.Name, err)
		}
	}
	beat, heardFrom := *b.takenOver, b.take().origins
	b.installed = nil // they were the other application's
	if err := p.retire(ctx, b, "another application took over its address"); err != nil {
		return err
	}
	if next := p.discover(beat); next != nil {
		next.inherit(heardFrom) // or two that alternate would never be seen to do so
	}
	p.Heartbeat(beat)
	return nil
}

// unwrap gives the object of a deletion that the watch missed.
func unwrap(obj any) any {
	if t, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		return t.Obj
	}
	return obj
}

// lostNode records that the base's Node was deleted.
func (i *inbox) lostNode(uid types.UID) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.lost, i.settled.ok = uid, false
}

func (i *inbox) takeLost() types.UID {
	i.mu.Lock()
	defer i.mu.Unlock()
	lost := i.lost
	i.lost = ""
	return lost
}

var _ tunnel.Sink = (*Provider)(nil)
