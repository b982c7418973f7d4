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

// A life is one pod on this Node, from the moment it was seen until it is gone.
type life struct {
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

func newLife(a *Agent, pod *corev1.Pod) *life {
	return &life{
		agent: a, uid: pod.UID, name: pod.Name,
		dir:      filepath.Join(a.o.Dir, fmt.Sprintf("%s.%s", pod.Name, pod.UID)),
		deleting: make(chan struct{}), gone: make(chan struct{}), changed: make(chan struct{}, 1),
		pod: pod, status: firstStatus(pod, metav1.Now()),
	}
}

// saw notes how the pod is now.
func (l *life) saw(pod *corev1.Pod) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pod = pod
	if pod.DeletionTimestamp != nil {
		closeOnce(l.deleting)
	}
}

// lost notes that the pod is not in the API any more.
func (l *life) lost() {
	l.mu.Lock()
	defer l.mu.Unlock()
	closeOnce(l.deleting)
	closeOnce(l.gone)
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

func (l *life) seen() *corev1.Pod {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.pod
}

func (l *life) process() *process.Process {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.now
}

// run runs the pod until it is deleted, and removes it from the API then, or until
// ctx ends.
func (l *life) run(ctx context.Context) {
	l.play(ctx)
	if ctx.Err() == nil {
		l.remove(ctx)
	}
}

// play runs the pod's process, again and again, until the pod is to end or ctx ends.
func (l *life) play(ctx context.Context) {
	ctx, end := context.WithCancel(ctx)
	var running sync.WaitGroup
	defer running.Wait()
	defer end()
	running.Go(func() { l.report(ctx) })
	l.poke()

	if err := unplayable(l.seen()); err != nil {
		l.waits("CreateContainerConfigError", err)
		l.rest(ctx, 0)
	} else if l.prepare(ctx, &running) {
		l.restart(ctx)
	}
}

// prepare makes what the process reads before it starts, and keeps its token fresh
// until ctx ends. It says no when the pod is to end first.
func (l *life) prepare(ctx context.Context, running *sync.WaitGroup) bool {
	for {
		err := os.MkdirAll(l.dir, 0o755)
		if err == nil {
			err = l.writeKubeconfig()
		}
		if err == nil {
			break
		}
		l.waits("CreateContainerError", err)
		if !l.rest(ctx, retryAfter) {
			return false
		}
	}
	written := make(chan struct{})
	running.Go(func() {
		keepToken(ctx, l.tokenFile(), l.requestToken, func() { closeOnce(written) }, func(err error) {
			l.agent.log.Error("renew token", "pod", l.name, "error", err)
		})
	})
	select {
	case <-written:
		return true
	case <-l.deleting:
	case <-ctx.Done():
	}
	return false
}

// restart starts the process whenever it ended, until the pod is to end.
func (l *life) restart(ctx context.Context) {
	pause := firstPause
	for !isClosed(l.deleting) && ctx.Err() == nil {
		began := time.Now()
		p, probes, err := l.start()
		if err != nil {
			l.waits("CreateContainerError", err)
			l.rest(ctx, retryAfter)
			continue
		}
		l.serve(ctx, p, probes)
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > calmAfter {
			pause = firstPause
		}
		l.terminated(p.Err(), pause)
		l.rest(ctx, pause)
		pause = min(max(2*pause, secondPause), longestPause)
	}
}

// rest waits for a time, or without end if that is 0. It says no when the pod is to
// end or ctx ended first.
func (l *life) rest(ctx context.Context, d time.Duration) bool {
	var over <-chan time.Time
	if d > 0 {
		timer := time.NewTimer(d)
		defer timer.Stop()
		over = timer.C
	}
	select {
	case <-over:
		return true
	case <-l.deleting:
	case <-ctx.Done():
	}
	return false
}
