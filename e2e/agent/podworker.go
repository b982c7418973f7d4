package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/e2e/process"
)

const (
	// A container that ended is started again at once, then after a pause that
	// doubles, unless it ran for a while: the kubelet's way, but quicker.
	firstPause, secondPause, longestPause = 100 * time.Millisecond, time.Second, 10 * time.Second
	// calmAfter is how long a process runs until its next end counts as the first.
	calmAfter = time.Minute
	// retryAfter is the pause after something of the agent's own failed.
	retryAfter = time.Second
)

// A podWorker runs one pod on this Node, from the moment it was seen until it is gone.
type podWorker struct {
	agent    *Agent
	uid      types.UID
	name     string
	dir      string        // the pod's own folder
	deleting chan struct{} // closed when the pod is to end
	gone     chan struct{} // closed when the pod is not in the API any more
	changed  chan struct{} // has one when the status is to be written

	mu     sync.Mutex // mu guards what follows
	pod    *corev1.Pod
	status corev1.PodStatus
	now    *process.Process // the newest
}

func newPodWorker(a *Agent, pod *corev1.Pod) *podWorker {
	return &podWorker{
		agent: a, uid: pod.UID, name: pod.Name,
		dir:      filepath.Join(a.o.Dir, fmt.Sprintf("%s.%s", pod.Name, pod.UID)),
		deleting: make(chan struct{}), gone: make(chan struct{}), changed: make(chan struct{}, 1),
		pod: pod, status: firstStatus(pod, metav1.Now()),
	}
}

// saw notes how the pod is now.
func (w *podWorker) saw(pod *corev1.Pod) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pod = pod
	if pod.DeletionTimestamp != nil {
		closeOnce(w.deleting)
	}
}

// lost notes that the pod is not in the API any more.
func (w *podWorker) lost() {
	w.mu.Lock()
	defer w.mu.Unlock()
	closeOnce(w.deleting)
	closeOnce(w.gone)
}

// closeOnce closes a channel that only the caller may close now.
func closeOnce(c chan struct{}) {
	if !isClosed(c) {
		close(c)
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func (w *podWorker) seen() *corev1.Pod {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.pod
}

func (w *podWorker) process() *process.Process {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

// run runs the pod until it is deleted, and removes it from the API then, or until
// ctx ends.
func (w *podWorker) run(ctx context.Context) {
	w.runProcess(ctx)
	if ctx.Err() == nil {
		w.remove(ctx)
	}
}

// runProcess runs the pod's process, again and again, until the pod is to end or ctx ends.
func (w *podWorker) runProcess(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	running.Go(func() { w.report(ctx) })
	w.poke()

	if err := unsupported(w.seen()); err != nil {
		w.waits("CreateContainerConfigError", err)
		w.rest(ctx, 0)
	} else if w.prepare(ctx, &running) {
		w.restart(ctx)
	}
}

// prepare makes what the process reads before it starts, and keeps its token fresh
// until ctx ends. It says no when the pod is to end first.
func (w *podWorker) prepare(ctx context.Context, running *sync.WaitGroup) bool {
	for {
		err := os.MkdirAll(w.dir, 0o755)
		if err == nil {
			err = w.writeKubeconfig()
		}
		if err == nil {
			break
		}
		w.waits("CreateContainerError", err)
		if !w.rest(ctx, retryAfter) {
			return false
		}
	}
	written := make(chan struct{})
	running.Go(func() {
		keepToken(ctx, w.tokenFile(), w.requestToken, func() { closeOnce(written) }, func(err error) {
			w.agent.log.Error("renew token", "pod", w.name, "error", err)
		})
	})
	select {
	case <-written:
		return true
	case <-w.deleting:
	case <-ctx.Done():
	}
	return false
}

// restart starts the process whenever it ended, until the pod is to end.
func (w *podWorker) restart(ctx context.Context) {
	pause := firstPause
	for !isClosed(w.deleting) && ctx.Err() == nil {
		began := time.Now()
		p, probes, err := w.start()
		if err != nil {
			w.waits("CreateContainerError", err)
			w.rest(ctx, retryAfter)
			continue
		}
		w.serve(ctx, p, probes)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > calmAfter {
			pause = firstPause
		}
		w.terminated(p.Err(), pause)
		w.rest(ctx, pause)
		pause = min(max(2*pause, secondPause), longestPause)
	}
}

// rest waits for a time, or without end if that is 0. It says no when the pod is to
// end or ctx ended first.
func (w *podWorker) rest(ctx context.Context, d time.Duration) bool {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true
	case <-w.deleting:
	case <-ctx.Done():
	}
	return false
}
