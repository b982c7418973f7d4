package events

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/tools/record/util"
	"k8s.io/client-go/tools/reference"
	"k8s.io/client-go/util/workqueue"
)

// Config says who tells, and to whom. All are needed.
type Config struct {
	Source corev1.EventSource
	Sink   Sink
	Meter  Meter
	Log    *zap.Logger
}

// Meter counts. Its methods return at once and may be called from any goroutine.
type Meter interface {
	// EventsDropped counts Events that are not written. reason has few values.
	EventsDropped(reason string, n int)
}

// Why an Event is not written.
const (
	droppedFull     = "queue_full" // too many wait, of its Node or of all
	droppedRepeated = "repeated"   // one object told too often
	droppedRefused  = "refused"    // the API server refuses it
	droppedUnsent   = "unsent"     // the API server was not reached in a while
)

// Recorder takes Events and writes them. It is a record.EventRecorder.
type Recorder struct {
	cfg        Config
	correlator *record.EventCorrelator

	mu sync.Mutex
	// mu guards what follows
	waiting backlog
	queue   workqueue.TypedRateLimitingInterface[string] // Nodes with waiting Events; nil until Run
}

var _ record.EventRecorder = (*Recorder)(nil)

// remembered is how many objects it is remembered of what they told: who tells the same
// again changes an Event instead of adding one.
const remembered = 16384

// New makes a Recorder. It starts nothing.
func New(cfg Config) *Recorder {
	return &Recorder{
		cfg: cfg, waiting: backlog{byNode: map[string][]*entry{}},
		correlator: record.NewEventCorrelatorWithOptions(record.CorrelatorOptions{LRUCacheSize: remembered}),
	}
}

// Event implements record.EventRecorder.
func (r *Recorder) Event(object runtime.Object, kind, reason, message string) {
	r.record(object, nil, kind, reason, message)
}

// Eventf implements record.EventRecorder.
func (r *Recorder) Eventf(object runtime.Object, kind, reason, format string, args ...any) {
	r.record(object, nil, kind, reason, fmt.Sprintf(format, args...))
}

// AnnotatedEventf implements record.EventRecorder.
func (r *Recorder) AnnotatedEventf(object runtime.Object, annotations map[string]string, kind, reason, format string, args ...any) {
	r.record(object, annotations, kind, reason, fmt.Sprintf(format, args...))
}

func (r *Recorder) record(object runtime.Object, annotations map[string]string, kind, reason, message string) {
	about, err := reference.GetReference(scheme.Scheme, object)
	if err != nil {
		r.cfg.Log.Error("cannot refer to the object of an Event", zap.String("reason", reason), zap.Error(err))
		return
	}
	e := &entry{event: r.event(*about, kind, reason, message)}
	e.event.Annotations = annotations
	node := nodeOf(object)
	r.mu.Lock()
	lost := r.waiting.add(node, e)
	queue := r.queue
	r.mu.Unlock()
	r.cfg.Meter.EventsDropped(droppedFull, lost)
	if queue != nil {
		queue.Add(node)
	}
}

// nodeOf is the Node that an object belongs to; empty for none.
func nodeOf(object runtime.Object) string {
	switch o := object.(type) {
	case *corev1.Pod:
		return o.Spec.NodeName
	case *corev1.ObjectReference:
		if o.Kind == "Node" {
			return o.Name
		}
	}
	return ""
}

func (r *Recorder) event(about corev1.ObjectReference, kind, reason, message string) *corev1.Event {
	now := metav1.Now()
	namespace := about.Namespace
	if namespace == "" {
		namespace = metav1.NamespaceDefault
	}
	return &corev1.Event{
		ObjectMeta:     metav1.ObjectMeta{Name: util.GenerateEventName(about.Name, now.UnixNano()), Namespace: namespace},
		InvolvedObject: about, Type: kind, Reason: reason, Message: message,
		FirstTimestamp: now, LastTimestamp: now, Count: 1,
		Source: r.cfg.Source, ReportingController: r.cfg.Source.Component, ReportingInstance: r.cfg.Source.Host,
	}
}

const (
	// writers is how many Events are written at once, each of another Node.
	writers = 8
	// writeTimeout is how long one write may take.
	writeTimeout = 10 * time.Second
	// An Event that could not be sent is tried again after retryBase, doubled each time up
	// to retryMax, maxTries times in all: for two minutes.
	retryBase, retryMax = 500 * time.Millisecond, 15 * time.Second
	maxTries            = 12
)

// Run writes Events until ctx ends, and returns when all that it started has ended. It is
// called once.
func (r *Recorder) Run(ctx context.Context) error {
	queue := workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[string](retryBase, retryMax))
	r.mu.Lock()
	r.queue = queue
	for node := range r.waiting.byNode {
		queue.Add(node)
	}
	r.mu.Unlock()
	var wg sync.WaitGroup
	defer wg.Wait()
	for range writers {
		wg.Go(func() {
			for r.writeNext(ctx, queue) {
			}
		})
	}
	<-ctx.Done()
	queue.ShutDown()
	return nil
}

// writeNext writes one Event of the Node that waits longest. It is false at the end.
func (r *Recorder) writeNext(ctx context.Context, queue workqueue.TypedRateLimitingInterface[string]) bool {
	node, end := queue.Get()
	if end {
		return false
	}
	defer queue.Done(node)
	r.mu.Lock()
	e := r.waiting.take(node)
	r.mu.Unlock()
	if e == nil {
		return true
	}
	if !r.write(ctx, e) {
		r.mu.Lock()
		r.waiting.putBack(node, e)
		r.mu.Unlock()
		queue.AddRateLimited(node)
		return true
	}
	queue.Forget(node)
	queue.Add(node) // for the next one, after those of other Nodes
	return true
}
