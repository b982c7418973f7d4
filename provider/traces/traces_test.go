package traces

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

var (
	noon   = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)
	orders = tunnel.ModuleKey{Name: "orders", Version: "1"}
)

const uid types.UID = "0c7d2b1e-5b0f-4c55-9d3b-2f6a1f0e8a11"

// recording gives a Tracer, and what it has made.
func recording(options ...sdktrace.TracerProviderOption) (*Tracer, *tracetest.InMemoryExporter) {
	to := tracetest.NewInMemoryExporter()
	options = append([]sdktrace.TracerProviderOption{sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSyncer(to), sdktrace.WithIDGenerator(IDs{})}, options...)
	return New(sdktrace.NewTracerProvider(options...)), to
}

// bound is a pod that was bound at noon.
func bound(change ...func(*corev1.Pod)) plan.Pod {
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "orders-1", UID: uid}, Spec: corev1.PodSpec{NodeName: "vnode.b.dev"}}
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(noon)}}
	for _, c := range change {
		c(pod)
	}
	return plan.Pod{Pod: pod}
}

// ready is its status once its module serves.
func ready(p plan.Pod) corev1.PodStatus {
	status := *p.Status.DeepCopy()
	status.Phase = corev1.PodRunning
	status.Conditions = append(status.Conditions, corev1.PodCondition{Type: corev1.PodReady, Status: corev1.ConditionTrue})
	return status
}

// turn is a Turn so many seconds after noon.
func turn(at int, pods ...plan.Pod) Turn {
	began := noon.Add(time.Duration(at) * time.Second)
	return Turn{
		Base: tunnel.BaseID{Env: "dev", Identity: "b"}, Tunnel: "wire", Epoch: 3, Claimed: noon.Add(-time.Hour),
		Began: began, Ended: began.Add(time.Millisecond), Pods: pods, Current: true,
	}
}

func install() plan.Planned {
	return plan.Planned{Pod: uid, Command: tunnel.Command{
		Verb: tunnel.InstallModule, Module: orders, URL: "https://user:secret@jars/orders.jar", RequestID: "r1",
		Args: []string{"--key=secret"}, Env: map[string]string{"KEY": "secret"},
	}}
}

// ended is how an install ended that was sent one second after noon.
func endedAs(r plan.Result, answered time.Time) plan.Ended {
	a := plan.Attempt{}.Next(install(), noon.Add(time.Second), nil)
	a.Answered = answered
	return plan.Ended{Attempt: a, Result: r}
}

// lines has a span a line: its name, and when it was in seconds since noon.
func lines(spans tracetest.SpanStubs) (all []string) {
	since := func(t time.Time) string { return fmt.Sprint(t.Sub(noon).Seconds()) }
	for _, s := range spans {
		line := s.Name + " " + since(s.StartTime) + " " + since(s.EndTime)
		if s.Status.Code == codes.Error {
			line += " " + s.Status.Description
		}
		all = append(all, line)
	}
	return all
}

// The way of a pod, in the order in which it becomes known.
func TestTheWayOfAPod(t *testing.T) {
	tracer, made := recording()
	var s Story
	p := bound()
	in := turn(1, p)
	in.Send = []plan.Planned{install()}
	tracer.Turned(t.Context(), &s, in)
	tracer.Turned(t.Context(), &s, turn(2, p)) // nothing is new

	in = turn(4, p)
	in.Ends = []plan.Ended{endedAs(plan.Done, noon.Add(3*time.Second))}
	in.List = &tunnel.Report{Asked: noon.Add(3500 * time.Millisecond), Received: noon.Add(3900 * time.Millisecond)}
	in.Write = []plan.PodStatus{{Pod: p, Status: ready(p)}}
	tracer.Turned(t.Context(), &s, in)
	tracer.Wrote(t.Context(), Written{Pod: p.Pod, Status: ready(p), Ready: true, Began: noon.Add(4 * time.Second), Ended: noon.Add(5 * time.Second)})

	p.Status = ready(p)
	in = turn(9, p) // its way is over
	in.List, in.Send = &tunnel.Report{Received: noon.Add(8 * time.Second)}, []plan.Planned{install()}
	tracer.Turned(t.Context(), &s, in)
	tracer.Wrote(t.Context(), Written{Pod: p.Pod, Status: p.Status, Began: noon.Add(9 * time.Second), Ended: noon.Add(10 * time.Second)})

	spans := made.GetSpans()
	want := []string{"queue pod 0 1", "plan 1 1.001", "install module 1 3", "list modules 3.5 3.9", "write status 4 5", "start pod 0 5"}
	if d := cmp.Diff(want, lines(spans)); d != "" {
		t.Fatalf("spans (-want +got):\n%s", d)
	}
	root := spans[len(spans)-1]
	if root.Parent.IsValid() {
		t.Errorf("the root is below %s", root.Parent.SpanID())
	}
	for _, s := range spans {
		if s.SpanContext.TraceID() != TraceOf(uid) || s.Name != root.Name && s.Parent.SpanID() != root.SpanContext.SpanID() {
			t.Errorf("%s is of %s, below %s", s.Name, s.SpanContext.TraceID(), s.Parent.SpanID())
		}
		text := fmt.Sprint(s.Attributes)
		for key, value := range map[attribute.Key]string{"k8s.pod.uid": string(uid), "k8s.pod.name": "orders-1", "k8s.namespace.name": "shop", "k8s.node.name": "vnode.b.dev"} {
			if set := attribute.NewSet(s.Attributes...); !has(set, key, value) {
				t.Errorf("%s has %v, want %s of %s", s.Name, text, value, key)
			}
		}
		if strings.Contains(text, "secret") {
			t.Errorf("%s tells %s", s.Name, text)
		}
	}
}

func has(set attribute.Set, key attribute.Key, value string) bool {
	is, there := set.Value(key)
	return there && is.AsString() == value
}

// What a span is of a command that did not do what it was sent for, or never answered.
func TestCommandsThatFail(t *testing.T) {
	for result, want := range map[plan.Result]string{
		plan.Failed: "install module 1 3 failed", plan.Lost: "install module 1 7 lost",
	} {
		tracer, made := recording()
		in := turn(7, bound())
		answered := noon.Add(3 * time.Second)
		if result == plan.Lost {
			answered = time.Time{}
		}
		in.Ends = []plan.Ended{endedAs(result, answered)}
		tracer.Turned(t.Context(), &Story{epoch: 3, planned: map[types.UID]bool{uid: true}}, in)
		if d := cmp.Diff([]string{want}, lines(made.GetSpans())); d != "" {
			t.Errorf("%s (-want +got):\n%s", result, d)
		}
	}
}

// A pod is queued again by who owns its base next: from the claim on.
func TestAnotherOwnerQueuesAPodFromItsClaim(t *testing.T) {
	tracer, made := recording()
	var s Story
	tracer.Turned(t.Context(), &s, turn(1, bound()))
	in := turn(30, bound())
	in.Epoch, in.Claimed = 4, noon.Add(20*time.Second)
	tracer.Turned(t.Context(), &s, in)
	if d := cmp.Diff([]string{"queue pod 0 1", "queue pod 20 30"}, lines(made.GetSpans())); d != "" {
		t.Errorf("spans (-want +got):\n%s", d)
	}
}

// A pod that was created with its Node is on its way from then on.
func TestAPodThatNoSchedulerBound(t *testing.T) {
	tracer, made := recording()
	tracer.Turned(t.Context(), &Story{}, turn(3, bound(func(p *corev1.Pod) {
		p.CreationTimestamp, p.Status.Conditions = metav1.NewTime(noon.Add(2*time.Second)), nil
	})))
	if d := cmp.Diff([]string{"queue pod 2 3"}, lines(made.GetSpans())); d != "" {
		t.Errorf("spans (-want +got):\n%s", d)
	}
}

// Nothing is told of pods that are not on their way, nor before all pods are known.
func TestWhatIsNotTraced(t *testing.T) {
	now := metav1.NewTime(noon)
	unsynced := bound()
	unsynced.Unsynced = true
	for name, p := range map[string]plan.Pod{
		"Ready":           bound(func(p *corev1.Pod) { p.Status = ready(plan.Pod{Pod: p}) }),
		"being deleted":   bound(func(p *corev1.Pod) { p.DeletionTimestamp = &now }),
		"its module ran":  bound(func(p *corev1.Pod) { p.Status.ContainerStatuses = []corev1.ContainerStatus{{RestartCount: 1}} }),
		"not handed over": unsynced,
	} {
		tracer, made := recording()
		in := turn(1, p)
		in.Send, in.Ends = []plan.Planned{install()}, []plan.Ended{endedAs(plan.Done, noon)}
		tracer.Turned(t.Context(), &Story{}, in)
		tracer.Wrote(t.Context(), Written{Pod: p.Pod, Status: p.Status, Began: noon, Ended: noon})
		if got := lines(made.GetSpans()); got != nil && name != "not handed over" { // whose status is nobody's to write
			t.Errorf("%s: %v", name, got)
		}
	}
	tracer, made := recording()
	in := turn(1, bound())
	in.Current = false
	tracer.Turned(t.Context(), &Story{}, in)
	if got := lines(made.GetSpans()); got != nil {
		t.Errorf("the pods are not known yet: %v", got)
	}
}

// The id of a trace is what docs/operations.md has users compute, and another for each pod.
func TestTheTraceOfAPod(t *testing.T) {
	sum := sha256.Sum256([]byte(uid))
	if got, want := TraceOf(uid).String(), hex.EncodeToString(sum[:])[:32]; got != want {
		t.Errorf("it is %s, want %s", got, want)
	}
	if TraceOf(uid) == TraceOf("another") {
		t.Error("two pods have one trace")
	}
}

// All owners of a base decide alike which pods are traced, and of UIDs as the API server
// makes them the rate that is asked for is met. Samplers look at bits that are the same in
// all such UIDs.
func TestSamplingIsByThePod(t *testing.T) {
	one, made1 := recording(sdktrace.WithSampler(sdktrace.TraceIDRatioBased(0.3)))
	two, made2 := recording(sdktrace.WithSampler(sdktrace.TraceIDRatioBased(0.3)))
	const pods = 2000
	for n := range pods {
		p := bound(func(p *corev1.Pod) { p.UID = types.UID(fmt.Sprintf("%08x-0000-4000-8000-%012x", n, n)) })
		one.Turned(t.Context(), &Story{}, turn(1, p))
		two.Wrote(t.Context(), Written{Pod: p.Pod, Status: ready(p), Ready: true, Began: noon, Ended: noon})
	}
	queued, roots := map[string]bool{}, map[string]bool{}
	for _, s := range made1.GetSpans() {
		queued[s.SpanContext.TraceID().String()] = true
	}
	for _, s := range made2.GetSpans() {
		if s.Name == "start pod" {
			roots[s.SpanContext.TraceID().String()] = true
		}
	}
	if d := cmp.Diff(queued, roots); d != "" {
		t.Errorf("one traces other pods than the other (-one +two):\n%s", d)
	}
	if share := float64(len(roots)) / pods; share < 0.25 || share > 0.35 {
		t.Errorf("%.2f are traced, want 0.3", share)
	}
}

// What is not traced costs nothing.
func TestATracerThatIsOffAllocatesNothing(t *testing.T) {
	if n := testing.AllocsPerRun(100, off(t.Context())); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// off is what a Turn and a write cost where nothing is traced.
func off(ctx context.Context) func() {
	var tracer *Tracer
	var s Story
	p := bound()
	in, w := turn(1, p), Written{Pod: p.Pod, Status: ready(p), Ready: true}
	in.Send = []plan.Planned{install()}
	return func() {
		tracer.Turned(ctx, &s, in)
		tracer.Wrote(ctx, w)
	}
}

// BenchmarkTurned compares the Turn of a base with 20 pods that are Ready: not traced, and
// traced.
func BenchmarkTurned(b *testing.B) {
	pods := make([]plan.Pod, 20)
	for i := range pods {
		pods[i] = bound(func(p *corev1.Pod) { p.Status = ready(plan.Pod{Pod: p}) })
	}
	on, _ := recording()
	for name, tracer := range map[string]*Tracer{"off": nil, "on": on} {
		b.Run("tracing="+name, func(b *testing.B) {
			var s Story
			in := turn(1, pods...)
			b.ReportAllocs()
			for b.Loop() {
				tracer.Turned(b.Context(), &s, in)
			}
		})
	}
}
