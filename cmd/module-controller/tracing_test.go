package main

import (
	"context"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/provider/traces"
)

// collector takes spans by OTLP.
type collector struct {
	coltracepb.UnimplementedTraceServiceServer

	mu sync.Mutex
	// mu guards what follows
	names  []string
	tokens []string // of the header authorization
	of     map[string]string
}

func (c *collector) Export(ctx context.Context, in *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	with, _ := metadata.FromIncomingContext(ctx)
	c.tokens, c.of = append(c.tokens, with.Get("authorization")...), map[string]string{}
	for _, r := range in.GetResourceSpans() {
		for _, a := range r.GetResource().GetAttributes() {
			c.of[a.GetKey()] = a.GetValue().GetStringValue()
		}
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				c.names = append(c.names, s.GetName())
			}
		}
	}
	return &coltracepb.ExportTraceServiceResponse{}, nil
}

// startCollector gives a collector and its URL.
func startCollector(t *testing.T) (*collector, string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c, server := &collector{}, grpc.NewServer()
	coltracepb.RegisterTraceServiceServer(server, c)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c, "http://" + listener.Addr().String()
}

// traced runs what sends spans to an endpoint while a pod's way is told, and gives how long
// the end took.
func traced(t *testing.T, endpoint string) time.Duration {
	t.Helper()
	cfg := read(t, map[string]string{"POD_NAME": "mc-0", "ENABLE_MQTT_TUNNEL": "true", "MQTT_BROKER": "broker", "TRACING_ENDPOINT": endpoint})
	s, err := newTracing(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: "orders", UID: "1"}}
	now := time.Now()
	status := corev1.PodStatus{Conditions: []corev1.PodCondition{
		{Type: corev1.PodScheduled, Status: corev1.ConditionTrue, LastTransitionTime: metav1.NewTime(now)}, {Type: corev1.PodReady, Status: corev1.ConditionTrue},
	}}
	s.tracer().Wrote(t.Context(), traces.Written{Pod: pod, Status: status, Ready: true, Began: now, Ended: now})
	began := time.Now()
	s.end(t.Context())
	return time.Since(began)
}

// Spans come to a collector, with headers that OpenTelemetry's own variables name, and tell
// whose they are.
func TestSpansComeToACollector(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20token")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.cluster.name=test")
	to, at := startCollector(t)
	traced(t, at)
	to.mu.Lock()
	defer to.mu.Unlock()
	if got := strings.Join(to.names, ", "); got != "write status, start pod" {
		t.Errorf("it got %q", got)
	}
	if len(to.tokens) == 0 || to.tokens[0] != "Bearer token" {
		t.Errorf("the header is %q", to.tokens)
	}
	for key, want := range map[string]string{"service.name": "module-controller", "k8s.pod.name": "mc-0", "k8s.cluster.name": "test"} {
		if to.of[key] != want {
			t.Errorf("%s is %q, want %q", key, to.of[key], want)
		}
	}
	if instance := to.of["service.instance.id"]; !strings.HasPrefix(instance, "mc-0_") {
		t.Errorf("the instance is %q", instance)
	}
}

// A collector that is away keeps nobody for long.
func TestACollectorThatIsAwayBlocksNothing(t *testing.T) {
	if took := traced(t, "http://127.0.0.1:1"); took > flushTimeout+time.Second {
		t.Errorf("the end took %s", took)
	}
}

// Without an endpoint there is nothing that could make a span.
func TestTracingIsOffByDefault(t *testing.T) {
	s, err := newTracing(t.Context(), read(t, needed()))
	if err != nil || s != nil || s.tracer() != nil {
		t.Errorf("%v, %v", s, err)
	}
}

func TestWhereSpansCannotBeSent(t *testing.T) {
	for _, endpoint := range []string{"collector:4317", "grpc://collector:4317", "http://", "https://collector:4317/v1/traces", "http://user:pass@collector", "http://collector?x=1", "%"} {
		if err := (tracingConfig{endpoint: endpoint}).validate(); err == nil || !strings.Contains(err.Error(), "TRACING_ENDPOINT") {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	for _, endpoint := range []string{"", "http://collector", "https://collector:4317", "http://[::1]:4317"} {
		if err := (tracingConfig{endpoint: endpoint, ratePerMillion: million}).validate(); err != nil {
			t.Errorf("%q: %v", endpoint, err)
		}
	}
	if err := (tracingConfig{ratePerMillion: million + 1}).validate(); err == nil {
		t.Error("more than all pods are traced")
	}
}
