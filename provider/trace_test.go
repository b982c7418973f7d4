package provider

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/traces"
	"module-controller/tunnel"
)

// A pod that is bound while one replica owns its base, and Ready when another does, has one
// trace: what each did is below one root, which the last one makes.
func TestATraceGoesOnAfterATakeover(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, at := newAPI(), &base{modules: map[tunnel.ModuleKey]tunnel.State{}, failure: "no room"}
		first, second := tracetest.NewInMemoryExporter(), tracetest.NewInMemoryExporter()
		p := newReplica(t, Config{}, nil, in, at, tracerTo(t, first))
		p.runs()
		p.serves()
		pod := podOn("orders")
		pod.UID = "0c7d2b1e-5b0f-4c55-9d3b-2f6a1f0e8a11"
		pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.Now()}}
		p.binds(pod)
		p.passes(5 * time.Second)
		p.owner.loses(shop)
		p.passes(time.Second)

		at.set(func(b *base) { b.failure = "" })
		q := newReplica(t, Config{}, nil, in, at, tracerTo(t, second))
		q.runs()
		q.beats()
		q.passes(time.Minute)
		if got := q.pod("orders").Status.Phase; got != corev1.PodRunning {
			t.Fatalf("the pod is %s", got)
		}
		q.passes(time.Hour) // nothing is told of one that is Ready

		one, two := first.GetSpans(), second.GetSpans()
		if got, want := namesOf(one), []string{"install module", "plan", "queue pod", "write status"}; !slices.Equal(got, want) {
			t.Errorf("the first owner made %v, want %v", got, want)
		}
		if got, want := namesOf(two), []string{"install module", "list modules", "plan", "queue pod", "start pod", "write status"}; !slices.Equal(got, want) {
			t.Errorf("the second owner made %v, want %v", got, want)
		}
		root := onlyOne(t, two, "start pod")
		for _, s := range slices.Concat(one, two) {
			if s.SpanContext.TraceID() != traces.TraceOf(pod.UID) {
				t.Errorf("%s is of the trace %s, want %s", s.Name, s.SpanContext.TraceID(), traces.TraceOf(pod.UID))
			}
			if s.Name != root.Name && s.Parent.SpanID() != root.SpanContext.SpanID() {
				t.Errorf("%s is below %s, want %s", s.Name, s.Parent.SpanID(), root.SpanContext.SpanID())
			}
			if s.EndTime.Before(s.StartTime) || s.StartTime.Before(root.StartTime) || s.EndTime.After(root.EndTime) {
				t.Errorf("%s is from %s to %s, the whole from %s to %s", s.Name, s.StartTime, s.EndTime, root.StartTime, root.EndTime)
			}
		}
	})
}

// tracerTo gives a tracer whose spans an exporter gets at once.
func tracerTo(t *testing.T, to sdktrace.SpanExporter) *traces.Tracer {
	t.Helper()
	provider := sdktrace.NewTracerProvider(sdktrace.WithSampler(sdktrace.AlwaysSample()), sdktrace.WithSyncer(to), sdktrace.WithIDGenerator(traces.IDs{}))
	return traces.New(provider)
}

// namesOf gives the names of spans, each once, in order.
func namesOf(spans tracetest.SpanStubs) (names []string) {
	for _, s := range spans {
		names = append(names, s.Name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// onlyOne gives the span of a name, of which there is one.
func onlyOne(t *testing.T, spans tracetest.SpanStubs, name string) tracetest.SpanStub {
	t.Helper()
	of := slices.DeleteFunc(slices.Clone(spans), func(s tracetest.SpanStub) bool { return s.Name != name })
	if len(of) != 1 {
		t.Fatalf("there are %d spans %q", len(of), name)
	}
	return of[0]
}
