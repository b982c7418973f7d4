package pods

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
	"k8s.io/client-go/util/workqueue"

	"module-controller/provider/plan"
)

const (
	// statusRetryFirst and statusRetryMax bound the pause before a status is tried again,
	// which doubles: after an outage of the API the pods show soon what is so.
	statusRetryFirst = 5 * time.Millisecond
	statusRetryMax   = 2 * time.Second
	// writeTimeout bounds one write: a request that hangs must hold no worker.
	writeTimeout = 30 * time.Second
	// passingPause is how long a status waits that most often holds for a moment only: then
	// the next one is written, or none.
	passingPause = time.Second
	// writers is how many statuses are written at a time. In a burst a pod is Ready the sooner,
	// the more of them are before the API server beside what makes the burst.
	writers = 64
	// statusRate is how many statuses a second are written of one Node's pods, beyond
	// statusBurst: one whose base says something else all the time must not take the API from
	// the others. A base with 100 modules that restarts takes 200 at once.
	statusRate  = 5
	statusBurst = 256
)

var errNotHeld = errors.New("the base's claim is not held now")

// write is one write of a status: the last that was asked for of its pod. Its status does
// not change.
type write struct {
	pod *corev1.Pod // with the status that the new one was made from
	// was has the conditions that the API server may have: one that this write replaces may
	// have been written or not.
	was []corev1.PodCondition
	// before is what the API server has the pod show, as far as it is known: one that this
	// write replaces may have been written since. status is what the pod is to show.
	before, status corev1.PodStatus
	// passing: it tells only what most often holds for a moment, and so does what it
	// replaces.
	passing bool
	// readies: it is the first that says of the pod that it is Ready, or replaces that one.
	readies bool
	// turn is when it may be written; zero while nobody asked. The write that replaces it has
	// the same.
	turn time.Time
	// ended: it is under way no more. version is the pod's resource version after it; empty
	// while it is under way, where the API server had the pod no more, and where it refuses
	// the status.
	ended   bool
	version string
}

func newWrite(pod *corev1.Pod, status corev1.PodStatus) *write {
	return &write{pod: pod, was: pod.Status.Conditions, before: pod.Status, status: status}
}

// underWay says whether a write has not ended yet. A nil one has.
func (w *write) underWay() bool { return w != nil && !w.ended }

// shownBy says whether a pod from the cache is at least as new as a write that has
// ended. Where their versions cannot be compared the cache is believed.
func (w *write) shownBy(now *corev1.Pod) bool {
	if w.version == "" {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(now.ResourceVersion, w.version)
	return err != nil || order >= 0
}

// obsolete says whether somebody has ended the pod since: what ran shows no more.
func (w *write) obsolete(now *corev1.Pod) bool {
	return terminal(now.Status) && !terminal(w.status)
}

// statusKey names a pod whose status is to be written.
type statusKey struct {
	node string
	uid  types.UID
}

// begin records that a status is to be written, and replaces one that waits. It gives nil for
// a pod of a Node that is not served.
func (s *store) begin(pod *corev1.Pod, status corev1.PodStatus) *write {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[pod.Spec.NodeName]
	if node == nil {
		return nil
	}
	w := newWrite(pod, status)
	w.passing, w.readies = passes(pod, status), readies(pod.Status, status)
	if was := node.writes[pod.UID]; was.underWay() {
		w.readies = w.readies || was.readies && holds(status, corev1.PodReady) != nil
		w.before = was.before
		w.turn, w.was = was.turn, eitherOf(was.was, pod.Status.Conditions)
		w.passing = was.passing && (begins(status) || w.passing)
	}
	node.writes[pod.UID] = w
	return w
}

// passes says of a pod's new status that it most often holds for a moment only: its modules
// begin to be installed, or it is being deleted and tells what that waits for.
func passes(pod *corev1.Pod, status corev1.PodStatus) bool {
	if pod.DeletionTimestamp == nil {
		return begins(status) && len(pod.Status.ContainerStatuses) == 0
	}
	status.Reason, status.Message = pod.Status.Reason, pod.Status.Message
	return equality.Semantic.DeepEqual(pod.Status, status)
}

// begins says of a status that it tells no more than that modules are being installed.
func begins(s corev1.PodStatus) bool {
	tells := func(c corev1.ContainerStatus) bool {
		w := c.State.Waiting
		return w == nil || !slices.Contains([]string{plan.ReasonCreating, plan.ReasonInstalling}, w.Reason)
	}
	return len(s.ContainerStatuses) > 0 && !slices.ContainsFunc(s.ContainerStatuses, tells)
}

// hurry gives the pods of a Node whose passing statuses wait, each once.
func (s *store) hurry(name string) (uids []types.UID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if node := s.nodes[name]; node != nil {
		for uid, w := range node.writes {
			if w.passing && w.underWay() {
				w.passing = false
				uids = append(uids, uid)
			}
		}
	}
	return uids
}

// pending gives the write of a pod that is to be done, and how soon; nil for none.
func (s *store) pending(key statusKey, now time.Time) (w *write, wait time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	node := s.nodes[key.node]
	if node == nil {
		return nil, 0
	}
	w = node.writes[key.uid]
	switch {
	case !w.underWay():
		return nil, 0
	case s.facade.isEnded(w): // the planner is woken by the event that told so
		delete(node.writes, key.uid)
		return nil, 0
	case w.turn.IsZero():
		w.turn = now.Add(node.rate.ReserveN(now, 1).DelayFrom(now))
	}
	return w, w.turn.Sub(now)
}

// isEnded says whether the cache shows that the pod of a write was ended by somebody.
func (f *facade) isEnded(w *write) bool {
	obj, ok, err := f.informer.GetIndexer().GetByKey(keyOf(w.pod))
	if err != nil || !ok {
		return false
	}
	now := obj.(*corev1.Pod)
	return now.UID == w.pod.UID && w.obsolete(now)
}

// wrote records the end of a write, with the version that it made; empty where it made
// none. One that was begun since goes on.
func (s *store) wrote(w *write, version string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.ended, w.version = true, version
}

// statusQueue has the pods whose statuses are to be written.
type statusQueue = workqueue.TypedRateLimitingInterface[statusKey]

// writer writes statuses, each pod's last one, until it is written or the pod is forgotten.
type writer struct {
	queue atomic.Pointer[statusQueue] // nil until it runs
	log   *zap.Logger
	next  func(statusKey, time.Time) (*write, time.Duration) // nil where nothing is to be written
	do    func(context.Context, *write) (string, error)      // gives the pod's version after it
	done  func(w *write, version string)
}

// add has a pod's status written after a pause. Before the writer runs nothing is served.
func (w *writer) add(key statusKey, pause time.Duration) {
	if queue := w.queue.Load(); queue != nil {
		(*queue).AddAfter(key, pause)
	}
}

// start lets statuses be added. The queue has goroutines of its own, which end when it is
// shut: run is to be called next.
func (w *writer) start() statusQueue {
	limit := workqueue.NewTypedItemExponentialFailureRateLimiter[statusKey](statusRetryFirst, statusRetryMax)
	queue := workqueue.NewTypedRateLimitingQueueWithConfig(limit, workqueue.TypedRateLimitingQueueConfig[statusKey]{Name: "pod-statuses"})
	w.queue.Store(&queue)
	return queue
}

// run writes until ctx ends.
func (w *writer) run(ctx context.Context, queue statusQueue, workers int) {
	var wg sync.WaitGroup
	defer wg.Wait()
	for range workers {
		wg.Go(func() {
			for w.step(ctx, queue) {
			}
		})
	}
	<-ctx.Done()
	queue.ShutDown()
}

// step does one write. It is false once the queue is shut.
func (w *writer) step(ctx context.Context, queue statusQueue) bool {
	key, shut := queue.Get()
	if shut {
		return false
	}
	defer queue.Done(key)
	what, wait := w.next(key, time.Now())
	switch {
	case what == nil:
		queue.Forget(key)
		return true
	case wait > 0:
		queue.AddAfter(key, wait)
		return true
	}
	version, err := w.do(ctx, what)
	switch {
	case err == nil, apierrors.IsNotFound(err): // it is gone, or another pod has its name
		w.done(what, version)
		queue.Forget(key)
	case refused(err):
		w.log.Error("status refused by the API server: the pod keeps the one before until there is another", zap.String("pod", keyOf(what.pod)), zap.Error(err))
		w.done(what, "")
		queue.Forget(key)
	default:
		w.log.Info("status not written, retrying", zap.String("pod", keyOf(what.pod)), zap.Error(err))
		queue.AddRateLimited(key)
	}
	return true
}

// refused says of an error that the same write would end so again.
func refused(err error) bool {
	return apierrors.IsInvalid(err) || apierrors.IsBadRequest(err) || apierrors.IsRequestEntityTooLargeError(err)
}

// patchStatus writes a pod's status, unless the base's claim is lost, and gives the
// version of the pod after it.
func (p *Pods) patchStatus(ctx context.Context, w *write) (version string, err error) {
	if !p.hooks.MayWrite(w.pod.Spec.NodeName) {
		return "", errNotHeld
	}
	began := time.Now()
	if version, err = patchStatus(ctx, p.deps, w); err == nil {
		p.lag.Wrote(version, time.Now())
		p.hooks.Wrote(ctx, Written{Pod: w.pod, Before: w.before, Status: w.status, Ready: w.readies, Began: began, Ended: time.Now()})
	}
	return version, err
}

// patchStatus writes a pod's status. A pod that is another one of that name counts as not
// found.
func patchStatus(ctx context.Context, deps Deps, w *write) (version string, err error) {
	patch, err := statusPatch(w.pod, w.was, w.status)
	if err != nil {
		return "", fmt.Errorf("patch status of pod %s: %w", keyOf(w.pod), err)
	}
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	client := deps.Client.CoreV1().Pods(w.pod.Namespace)
	written, err := client.Patch(ctx, w.pod.Name, types.StrategicMergePatchType, patch, metav1.PatchOptions{}, "status")
	deps.Meter.Wrote("pod", err)
	switch {
	case apierrors.IsConflict(err):
		return "", apierrors.NewNotFound(corev1.Resource("pods"), w.pod.Name)
	case err != nil:
		return "", err
	}
	return written.ResourceVersion, nil
}
