package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"time"

	"github.com/go-logr/zapr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.uber.org/zap"

	"module-controller/internal/refusals"
	"module-controller/provider/traces"
)

// tracingConfig says where spans are sent.
type tracingConfig struct {
	endpoint       string // a URL; empty for nowhere
	ratePerMillion int    // of pods that are traced
}

const million = 1_000_000

// validate gives every fault.
func (c tracingConfig) validate() error {
	var errs []error
	if c.ratePerMillion > million {
		errs = append(errs, fmt.Errorf("TRACING_SAMPLING_RATE_PER_MILLION (%d) must be %d at most", c.ratePerMillion, million))
	}
	if u, err := url.Parse(c.endpoint); c.endpoint != "" && (err != nil || !isOrigin(u)) {
		errs = append(errs, errors.New("TRACING_ENDPOINT must be the URL of a collector and no more, such as https://collector:4317, or http://collector:4317 without TLS"))
	}
	return errors.Join(errs...)
}

// isOrigin says of a URL that it is a scheme of HTTP and a host, and nothing else.
func isOrigin(u *url.URL) bool {
	return (u.Scheme == "http" || u.Scheme == "https") && u.Hostname() != "" && *u == url.URL{Scheme: u.Scheme, Host: u.Host}
}

// tracing sends the spans of one session. A nil one makes none.
type tracing struct {
	exporter *otlptrace.Exporter
	provider *sdktrace.TracerProvider
}

// newTracing starts nothing: until run no span is recorded. It gives nil where none is to be.
func newTracing(ctx context.Context, cfg *config) (*tracing, error) {
	if cfg.tracing.endpoint == "" {
		return nil, nil
	}
	of, err := resource.New(ctx, resource.WithAttributes(
		semconv.ServiceName("module-controller"), semconv.ServiceNamespace(cfg.podNamespace), semconv.ServiceVersion(version),
		semconv.ServiceInstanceID(cfg.election.Incarnation), semconv.K8SPodName(cfg.podName), semconv.K8SNamespaceName(cfg.podNamespace),
	), resource.WithFromEnv(), resource.WithTelemetrySDK())
	if err != nil {
		return nil, fmt.Errorf("make the resource of traces of OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	return &tracing{
		exporter: otlptrace.NewUnstarted(otlptracegrpc.NewClient(otlptracegrpc.WithEndpointURL(cfg.tracing.endpoint))),
		provider: sdktrace.NewTracerProvider(sdktrace.WithResource(of), sdktrace.WithIDGenerator(traces.IDs{}),
			sdktrace.WithSampler(sdktrace.TraceIDRatioBased(float64(cfg.tracing.ratePerMillion)/million))),
	}, nil
}

// tracer makes the spans; nil where none are made.
func (t *tracing) tracer() *traces.Tracer {
	if t == nil {
		return nil
	}
	return traces.New(t.provider)
}

// flushTimeout bounds how long spans are waited for that are not sent yet when a session ends.
const flushTimeout = 5 * time.Second

// run sends spans in the background until ctx ends, and then what is left.
func (t *tracing) run(ctx context.Context) error {
	if err := t.start(ctx); err != nil {
		return err
	}
	<-ctx.Done()
	t.end(ctx)
	return nil
}

// start has spans sent from now on, by the batch. A queue that is full drops what comes:
// nobody waits for a collector.
func (t *tracing) start(ctx context.Context) error {
	if err := t.exporter.Start(ctx); err != nil {
		return fmt.Errorf("start the export of traces to TRACING_ENDPOINT: %w", err)
	}
	t.provider.RegisterSpanProcessor(sdktrace.NewBatchSpanProcessor(t.exporter))
	return nil
}

// end sends what is left, although ctx has ended. What cannot be sent is told and dropped.
func (t *tracing) end(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), flushTimeout)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(fmt.Errorf("send the last spans: %w", err))
	}
}

// tellTracing has the library's errors told in our log, once a minute at most of a kind.
func tellTracing(log *zap.Logger) {
	told := refusals.New(log)
	otel.SetLogger(zapr.NewLogger(log))
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) {
		told.Tell("spans not exported", "export", "", zap.Error(err))
	}))
}
