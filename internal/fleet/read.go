package fleet

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/pager"

	"module-controller/election"
	"module-controller/provider/plan"
)

// Selectors of what is read.
const (
	vnodes  = plan.LabelComponent + "=" + plan.ComponentVNode
	modules = plan.LabelComponent + "=" + plan.ComponentModule
	// replicas is the label of the controller's own pods in the manifests.
	replicas = "app.kubernetes.io/name=module-controller"
	// basePods is the label of the Pods that may be bases, unless BASE_POD_SELECTOR says
	// otherwise.
	basePods = "base.koupleless.io/stack"
)

// Reader reads the fleet once.
type Reader struct {
	Client kubernetes.Interface
	// Namespace is the installation's.
	Namespace string
	// Now is the API server's time, asked after an answer of it. Nil: time.Now.
	Now func() time.Time
}

// Scope says what is read beside members, Leases and VNodes.
type Scope struct {
	// Modules reads all pods that are modules, Strangers those bound to VNodes that are
	// none, BasePods those in which bases may run.
	Modules, Strangers, BasePods bool
	// Replicas reads the controller's own pods, NodeEvents the Warnings about Nodes.
	Replicas, NodeEvents bool
}

// Everything reads all that a Scope can name.
var Everything = Scope{Modules: true, Strangers: true, BasePods: true, Replicas: true, NodeEvents: true}

// read is one reading. What is not permitted is told in Unread and fails nothing.
type read struct {
	Reader
	mu sync.Mutex // mu guards what follows
	o  Objects
}

// Read reads the fleet. It returns an error where the API server cannot be reached; what
// the caller may not read is named in Unread.
func (r Reader) Read(ctx context.Context, scope Scope) (*Snapshot, error) {
	in := r.begin()
	if err := in.fleet(ctx, scope); err != nil {
		return nil, err
	}
	return in.end(), nil
}

func (r Reader) begin() *read { return &read{Reader: r, o: Objects{Namespace: r.Namespace}} }

func (in *read) end() *Snapshot {
	now := time.Now
	if in.Now != nil {
		now = in.Now
	}
	in.o.At = now()
	return Build(in.o)
}

// fleet reads what a scope names, all at once.
func (in *read) fleet(ctx context.Context, scope Scope) error {
	var parts []part
	for _, p := range []struct {
		wanted bool
		read   part
	}{
		{true, in.version}, {true, in.members}, {true, in.baseLeases}, {true, in.nodes},
		{scope.Modules, in.pods(metav1.NamespaceAll, modules, "", "module pods", &in.o.Modules)},
		{scope.Strangers, in.pods(metav1.NamespaceAll, plan.LabelComponent+"!="+plan.ComponentModule, "status.phase=Pending,spec.nodeName!=", "pods on VNodes", &in.o.Strangers)},
		{scope.BasePods, in.pods(metav1.NamespaceAll, basePods, "", "the Pods of bases", &in.o.BasePods)},
		{scope.Replicas, in.pods(in.Namespace, replicas, "", "the controller's pods", &in.o.Replicas)},
		{scope.NodeEvents, in.eventsAbout(metav1.NamespaceDefault, "involvedObject.kind=Node")},
	} {
		if p.wanted {
			parts = append(parts, p.read)
		}
	}
	return together(ctx, parts...)
}

// part reads a part of what there is.
type part func(context.Context) error

// together reads parts at once. It returns the first error.
func together(ctx context.Context, parts ...part) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, p := range parts {
		group.Go(func() error { return p(ctx) })
	}
	return group.Wait()
}

// version asks the API server for its version, and so whether it is there.
func (in *read) version(context.Context) error {
	v, err := in.Client.Discovery().ServerVersion()
	if err != nil {
		return fmt.Errorf("ask the API server for its version: %w", err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	in.o.Server = v.GitVersion
	return nil
}

// members reads the membership Leases of all installations, or, where that is not
// permitted, those of this one.
func (in *read) members(ctx context.Context) error {
	opts := metav1.ListOptions{LabelSelector: election.MemberSelector}
	found, err := in.leases(ctx, metav1.NamespaceAll, opts)
	if apierrors.IsForbidden(err) {
		in.unread("members of other installations", err)
		found, err = in.leases(ctx, in.Namespace, opts)
	}
	return in.take("members", err, func() { in.o.MemberLeases = found })
}

// baseLeases reads the Leases whose names are a base's: other controllers label none.
func (in *read) baseLeases(ctx context.Context) error {
	found, err := in.leases(ctx, corev1.NamespaceNodeLease, metav1.ListOptions{})
	return in.take("Leases of bases", err, func() {
		for _, l := range found {
			if _, is := plan.BaseOf(l.Name); is {
				in.o.BaseLeases = append(in.o.BaseLeases, l)
			}
		}
	})
}

func (in *read) leases(ctx context.Context, namespace string, opts metav1.ListOptions) (found []coordinationv1.Lease, err error) {
	list := func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		return in.Client.CoordinationV1().Leases(namespace).List(ctx, opts)
	}
	err = each(ctx, list, opts, func(l *coordinationv1.Lease) { found = append(found, *l) })
	return found, err
}

func (in *read) nodes(ctx context.Context) error {
	var found []corev1.Node
	list := func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
		return in.Client.CoreV1().Nodes().List(ctx, opts)
	}
	err := each(ctx, list, metav1.ListOptions{LabelSelector: vnodes}, func(n *corev1.Node) { found = append(found, *n) })
	return in.take("Nodes", err, func() { in.o.Nodes = found })
}

// pods gives what reads pods into to.
func (in *read) pods(namespace, labels, fields, what string, to *[]corev1.Pod) part {
	return func(ctx context.Context) error {
		var found []corev1.Pod
		list := func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			return in.Client.CoreV1().Pods(namespace).List(ctx, opts)
		}
		err := each(ctx, list, metav1.ListOptions{LabelSelector: labels, FieldSelector: fields}, func(p *corev1.Pod) {
			p.ManagedFields = nil
			found = append(found, *p)
		})
		return in.take(what, err, func() { *to = found })
	}
}

// eventsAbout gives what reads the Events of a namespace that a field selector selects.
func (in *read) eventsAbout(namespace, fields string) part {
	return func(ctx context.Context) error {
		var found []corev1.Event
		list := func(ctx context.Context, opts metav1.ListOptions) (runtime.Object, error) {
			return in.Client.CoreV1().Events(namespace).List(ctx, opts)
		}
		err := each(ctx, list, metav1.ListOptions{FieldSelector: fields}, func(e *corev1.Event) { found = append(found, *e) })
		return in.take("Events", err, func() { in.o.Events = append(in.o.Events, found...) })
	}
}

// pageSize is how many objects one answer has.
const pageSize = 1000

// each lists objects in pages. What changes between two pages does not end it.
func each[T runtime.Object](ctx context.Context, list pager.ListPageFunc, opts metav1.ListOptions, take func(T)) error {
	pages := pager.New(list)
	pages.PageSize = pageSize
	return pages.EachListItem(ctx, opts, func(o runtime.Object) error {
		if is, ok := o.(T); ok {
			take(is)
		}
		return nil
	})
}

// take takes in what was read. What is not permitted is only told, and what is not there
// is not there.
func (in *read) take(what string, err error, take func()) error {
	switch {
	case apierrors.IsForbidden(err):
		in.unread(what, err)
		return nil
	case apierrors.IsNotFound(err):
		return nil
	case err != nil:
		return fmt.Errorf("read %s: %w", what, err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	take()
	return nil
}

func (in *read) unread(what string, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.o.Unread = append(in.o.Unread, Unread{What: what, Why: strings.TrimSpace(err.Error())})
}
