package workloads

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2/simplelru"
	"go.uber.org/zap"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/util/workqueue"
)

const (
	// maxVerdicts bounds the workloads of which a verdict is kept, which is more than a
	// fleet's. One that is forgotten is asked for again.
	maxVerdicts = 16384
	// verdictFor is how long a Pod that the API server has and the watch has not shown yet is
	// taken for what it was.
	verdictFor = 10 * time.Second
	// A question that the API server did not answer is repeated after askRetryFirst, doubled
	// each time up to askRetryMax.
	askRetryFirst = 200 * time.Millisecond
	askRetryMax   = 5 * time.Second
	askTimeout    = 5 * time.Second
)

// unseen asks the API server for Pods that bases are bound to and that our watch does not
// have: it may be behind the one of the replica that proved them. What was there and left is
// gone; of what was never there only the API server can tell.
type unseen struct {
	client   kubernetes.Interface
	selector labels.Selector
	log      *zap.Logger
	// changed are told of each verdict and of what the watch shows. They are set before
	// anything runs.
	changed []func(workload string)
	// queue has the workloads to ask for; nil until Run.
	queue atomic.Pointer[workqueue.TypedRateLimitingInterface[string]]

	mu sync.Mutex
	// mu guards what follows
	verdicts *lru.LRU[string, verdict] // by workload
}

// verdict is what the API server said of a workload, or our watch when the Pod left it.
type verdict struct {
	pod *pod // nil: no base runs in it any more
	at  time.Time
}

func newUnseen(client kubernetes.Interface, selector string, log *zap.Logger) (*unseen, error) {
	s, err := labels.Parse(selector)
	if err != nil {
		return nil, fmt.Errorf("read the selector of Pods: %w", err)
	}
	verdicts, err := lru.NewLRU[string, verdict](maxVerdicts, nil)
	if err != nil {
		return nil, fmt.Errorf("make the memory of Pods: %w", err)
	}
	return &unseen{client: client, selector: s, log: log, verdicts: verdicts}, nil
}

// get gives what is known of a workload that the watch does not have; ok is false until the
// API server was asked. It returns at once.
func (u *unseen) get(workload string, now time.Time) (p *pod, ok bool) {
	u.mu.Lock()
	v, ok := u.verdicts.Get(workload)
	u.mu.Unlock()
	if !ok || v.pod != nil && now.Sub(v.at) >= verdictFor {
		if queue := u.queue.Load(); queue != nil {
			(*queue).Add(workload)
		}
	}
	return v.pod, ok
}

// keep notes a verdict: nil for a Pod that is gone, which is for ever.
func (u *unseen) keep(workload string, p *pod) {
	u.mu.Lock()
	u.verdicts.Add(workload, verdict{pod: p, at: time.Now()})
	u.mu.Unlock()
}

// handler takes in what the watch shows.
func (u *unseen) handler() cache.ResourceEventHandler {
	return cache.ResourceEventHandlerFuncs{
		AddFunc: u.tellOf,
		UpdateFunc: func(was, is any) {
			if lasts(was) != lasts(is) {
				u.tellOf(is)
			}
		},
		DeleteFunc: u.left,
	}
}

// left notes that a Pod left the watch: it is gone, or may be a base no more.
func (u *unseen) left(obj any) {
	if missed, ok := obj.(cache.DeletedFinalStateUnknown); ok {
		obj = missed.Obj
	}
	if one, ok := obj.(*pod); ok {
		u.keep(one.workload().Name, nil)
		u.tellOf(one)
	}
}

func (u *unseen) tellOf(obj any) {
	if one, ok := obj.(*pod); ok {
		u.tell(one.workload().Name)
	}
}

func (u *unseen) tell(workload string) {
	for _, changed := range u.changed {
		changed(workload)
	}
}

// run asks until ctx ends.
func (u *unseen) run(ctx context.Context) {
	limit := workqueue.NewTypedItemExponentialFailureRateLimiter[string](askRetryFirst, askRetryMax)
	queue := workqueue.NewTypedRateLimitingQueue(limit)
	u.queue.Store(&queue)
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		for u.step(ctx, queue) {
		}
	})
	<-ctx.Done()
	queue.ShutDown()
}

func (u *unseen) step(ctx context.Context, queue workqueue.TypedRateLimitingInterface[string]) bool {
	workload, end := queue.Get()
	if end {
		return false
	}
	defer queue.Done(workload)
	if err := u.ask(ctx, workload); err != nil {
		u.log.Debug("a Pod that a base is bound to is not known yet", zap.String("workload", workload), zap.Error(err))
		queue.AddRateLimited(workload)
		return true
	}
	queue.Forget(workload)
	u.tell(workload)
	return true
}

// ask has the API server say what a workload is.
func (u *unseen) ask(ctx context.Context, workload string) error {
	namespace, name, uid, ok := split(workload)
	if !ok {
		return nil // it is not asked for
	}
	ctx, end := context.WithTimeout(ctx, askTimeout)
	defer end()
	full, err := u.client.CoreV1().Pods(namespace).Get(ctx, name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		u.keep(workload, nil)
		return nil
	case err != nil:
		return fmt.Errorf("get Pod %s/%s: %w", namespace, name, err)
	case full.UID != uid, !u.selector.Matches(labels.Set(full.Labels)): // the next of its name, or no base's
		u.keep(workload, nil)
		return nil
	}
	u.keep(workload, keptOf(full))
	return nil
}
