package traces

import (
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Attributes that no semantic convention has.
const (
	keyEnvironment = attribute.Key("koupleless.base.environment")
	keyIdentity    = attribute.Key("koupleless.base.identity")
	keyTunnel      = attribute.Key("koupleless.tunnel")
	keyEpoch       = attribute.Key("koupleless.lease.epoch")
	keyModule      = attribute.Key("koupleless.module.name")
	keyVersion     = attribute.Key("koupleless.module.version")
	keyVerb        = attribute.Key("koupleless.command.verb")
	keyReplace     = attribute.Key("koupleless.command.replace")
	keyRequest     = attribute.Key("koupleless.command.request_id")
	keyResult      = attribute.Key("koupleless.command.result")
	keyPhase       = attribute.Key("koupleless.pod.phase")
	keyReady       = attribute.Key("koupleless.pod.ready")
)

// Tracer makes the spans. A nil one makes none.
type Tracer struct{ tracer trace.Tracer }

// New makes a Tracer. The provider must have IDs for its ids, and must sample by a trace's id
// alone, not by the parent: so the owners of a base agree which pods are traced.
func New(provider trace.TracerProvider) *Tracer {
	return &Tracer{provider.Tracer("module-controller/provider")}
}

// span is one that has ended.
type span struct {
	name       string
	kind       trace.SpanKind
	began      time.Time
	ended      time.Time
	attributes []attribute.KeyValue
	failure    string // why it failed; empty where it did not
}

// child makes a span below the root of a pod, which another process may make, later.
func (t *Tracer) child(ctx context.Context, uid types.UID, s span) {
	of, root := idsOf(uid)
	parent := trace.NewSpanContext(trace.SpanContextConfig{TraceID: of, SpanID: root, Remote: true})
	t.make(trace.ContextWithRemoteSpanContext(ctx, parent), s)
}

// root makes the root of a pod.
func (t *Tracer) root(ctx context.Context, uid types.UID, s span) {
	t.make(context.WithValue(ctx, rooted{}, uid), s, trace.WithNewRoot())
}

func (t *Tracer) make(ctx context.Context, s span, options ...trace.SpanStartOption) {
	options = append(options, trace.WithTimestamp(s.began), trace.WithSpanKind(s.kind), trace.WithAttributes(s.attributes...))
	_, made := t.tracer.Start(ctx, s.name, options...)
	if s.failure != "" {
		made.SetStatus(codes.Error, s.failure)
		made.SetAttributes(semconv.ErrorTypeKey.String(s.failure))
	}
	made.End(trace.WithTimestamp(s.ended))
}

// podAttributes say which pod a span is of.
func podAttributes(pod *corev1.Pod) []attribute.KeyValue {
	return []attribute.KeyValue{
		semconv.K8SPodUID(string(pod.UID)), semconv.K8SPodName(pod.Name), semconv.K8SNamespaceName(pod.Namespace), semconv.K8SNodeName(pod.Spec.NodeName),
	}
}

// commandAttributes tell of a command what is no secret.
func commandAttributes(c tunnel.Command) []attribute.KeyValue {
	return []attribute.KeyValue{
		keyVerb.String(string(c.Verb)), keyModule.String(c.Module.Name), keyVersion.String(c.Module.Version), keyReplace.Bool(c.Replace),
	}
}

// Written is a status of a pod that the API server took.
type Written struct {
	Pod    *corev1.Pod
	Status corev1.PodStatus
	// Ready: it is the first that says so.
	Ready bool
	// Began and Ended are when it was sent, and taken.
	Began, Ended time.Time
}

// Wrote takes in that a status was written. A span that ctx has is no parent of these.
func (t *Tracer) Wrote(ctx context.Context, w Written) {
	if t == nil || restarted(w.Status) {
		return
	}
	if w.Pod.DeletionTimestamp != nil || isReady(w.Status) && !w.Ready {
		return
	}
	of := podAttributes(w.Pod)
	t.child(ctx, w.Pod.UID, span{name: "write status", kind: trace.SpanKindClient, began: w.Began, ended: w.Ended,
		attributes: append(of, keyPhase.String(string(w.Status.Phase)), keyReady.Bool(isReady(w.Status)))})
	if w.Ready {
		t.root(ctx, w.Pod.UID, span{name: "start pod", kind: trace.SpanKindInternal, began: boundAt(w.Pod.CreationTimestamp, w.Status), ended: w.Ended, attributes: of})
	}
}

// boundAt is when a pod was bound: when it was created, where no scheduler did that.
func boundAt(created metav1.Time, status corev1.PodStatus) time.Time {
	for _, c := range status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionTrue {
			return c.LastTransitionTime.Time
		}
	}
	return created.Time
}

func isReady(status corev1.PodStatus) bool {
	for _, c := range status.Conditions {
		if c.Type == corev1.PodReady {
			return c.Status == corev1.ConditionTrue
		}
	}
	return false
}

// restarted says of a pod that its modules ran before: its way was traced then.
func restarted(status corev1.PodStatus) bool {
	return slices.ContainsFunc(status.ContainerStatuses, func(c corev1.ContainerStatus) bool { return c.RestartCount > 0 })
}

// starts says whether a pod is on its way to be Ready for the first time.
func starts(p plan.Pod) bool {
	switch {
	case p.Terminating(), p.Unsynced, isReady(p.Status), restarted(p.Status):
		return false
	}
	return true
}
