package revisions

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/watch"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/metadata"
	"k8s.io/client-go/tools/cache"

	"module-controller/internal/rewatch"
	"module-controller/provider/plan"
)

// refusedAfter is how long the API server must refuse a table before it is done without:
// one that has just begun knows no roles yet.
const refusedAfter = 5 * time.Second

// table has the records of one kind.
type table struct {
	kind     kind
	resource string // as in a rule of RBAC
	informer cache.SharedIndexInformer
	handled  cache.ResourceEventHandlerRegistration
	log      *zap.Logger

	mu sync.Mutex
	// mu guards what follows
	denied  time.Time // since when requests are refused; zero while they are not
	refused bool      // for so long that it is done without
}

// lists asks the API server for one kind of objects.
type lists struct {
	list  func(context.Context, metav1.ListOptions) (runtime.Object, error)
	watch func(context.Context, metav1.ListOptions) (watch.Interface, error)
}

func replicaSets(client metadata.Interface, log *zap.Logger) *table {
	c := client.Resource(appsv1.SchemeGroupVersion.WithResource("replicasets"))
	t := &table{kind: replicaSet, resource: "replicasets.apps", log: log}
	t.watch(client, &metav1.PartialObjectMetadata{}, shrinkReplicaSet, lists{
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return c.List(ctx, o) },
		c.Watch,
	})
	return t
}

func controllerRevisions(client kubernetes.Interface, log *zap.Logger) *table {
	c := client.AppsV1().ControllerRevisions(metav1.NamespaceAll)
	t := &table{kind: controllerRevision, resource: "controllerrevisions.apps", log: log}
	t.watch(client, &appsv1.ControllerRevision{}, shrinkControllerRevision, lists{
		func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) { return c.List(ctx, o) },
		c.Watch,
	})
	return t
}

// watch makes the table's informer, of objects with the label of module pods.
func (t *table) watch(client any, example runtime.Object, shrink cache.TransformFunc, from lists) {
	lw := &cache.ListWatch{
		ListWithContextFunc: func(ctx context.Context, o metav1.ListOptions) (runtime.Object, error) {
			o.LabelSelector = plan.LabelComponent + "=" + plan.ComponentModule
			list, err := from.list(ctx, o)
			t.note(err, time.Now())
			return list, err
		},
		WatchFuncWithContext: rewatch.Resumed(func(ctx context.Context, o metav1.ListOptions) (watch.Interface, error) {
			o.LabelSelector = plan.LabelComponent + "=" + plan.ComponentModule
			w, err := from.watch(ctx, o)
			t.note(err, time.Now())
			return w, err // as it is: the informer looks at it
		}),
	}
	t.informer = cache.NewSharedIndexInformer(cache.ToListWatcherWithWatchListSemantics(lw, client), example, 0, cache.Indexers{})
	// Both can only be refused after the informer was started.
	if err := errors.Join(t.informer.SetTransform(shrink), t.informer.SetWatchErrorHandlerWithContext(tellOthers)); err != nil {
		panic(err)
	}
}

// tellOthers has failures logged as the library does, without the denials: note tells those
// once.
func tellOthers(ctx context.Context, r *cache.Reflector, err error) {
	if !apierrors.IsForbidden(err) {
		cache.DefaultWatchErrorHandler(ctx, r, err)
	}
}

// handle calls changed for each record that is new or tells something else than before.
func (t *table) handle(changed func(*record)) (err error) {
	t.handled, err = t.informer.AddEventHandler(cache.ResourceEventHandlerFuncs{
		AddFunc: func(obj any) {
			if r, ok := obj.(*record); ok {
				changed(r)
			}
		},
		UpdateFunc: func(before, obj any) {
			was, ok1 := before.(*record)
			is, ok2 := obj.(*record)
			if ok1 && ok2 && !is.same(was) {
				changed(is)
			}
		},
	})
	if err != nil {
		return fmt.Errorf("watch %s: %w", t.resource, err)
	}
	return nil
}

// same says whether a record tells the same as one of the same name.
func (r *record) same(as *record) bool {
	return r.of == as.of && r.workload == as.workload && r.number == as.number
}

// get gives what is known of a source; nil for nothing.
func (t *table) get(s source) *record {
	obj, ok, err := t.informer.GetStore().GetByKey(s.key())
	if err != nil || !ok {
		return nil
	}
	if r, ok := obj.(*record); ok && r.of == s.owner {
		return r
	}
	return nil // of one that had the name before, or has it since
}

// synced says whether all was seen, or is not to be seen.
func (t *table) synced() bool { return t.isRefused() || t.handled.HasSynced() }

// isRefused says whether it is done without the table.
func (t *table) isRefused() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.refused
}

// note takes in how a request for the table ended.
func (t *table) note(err error, now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch {
	case err == nil && t.refused:
		t.denied, t.refused = time.Time{}, false
		t.log.Info("revisions are permitted to be read", zap.String("resource", t.resource))
	case err == nil:
		t.denied = time.Time{}
	case !apierrors.IsForbidden(err):
	case t.denied.IsZero():
		t.denied = now
	case !t.refused && now.Sub(t.denied) >= refusedAfter:
		t.refused = true
		t.log.Warn("revisions are not permitted to be read: "+unknown, zap.String("resource", t.resource), zap.Error(err))
	}
}

// unknown is what follows where revisions may not be read.
const unknown = "of two pods of a workload the newer one wins, also after an undo"
