package harness

import (
	"context"
	"net"
	"slices"
	"sync"

	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
)

// Collector takes spans by OTLP over gRPC, as users' collectors do.
type Collector struct {
	server *grpc.Server
	addr   string
	ended  chan error
	kept   *kept
}

// Span is one that was taken.
type Span struct {
	*tracepb.Span
	// Instance is the session of a replica that made it.
	Instance string
}

// kept is what a Collector took.
type kept struct {
	coltracepb.UnimplementedTraceServiceServer

	mu    sync.Mutex
	spans []Span // mu guards it
}

// StartCollector starts one on a port of its own. Close is to be called.
func StartCollector() (*Collector, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	c := &Collector{server: grpc.NewServer(), addr: listener.Addr().String(), ended: make(chan error, 1), kept: &kept{}}
	coltracepb.RegisterTraceServiceServer(c.server, c.kept)
	go func() { c.ended <- c.server.Serve(listener) }()
	return c, nil
}

// Endpoint is its URL.
func (c *Collector) Endpoint() string { return "http://" + c.addr }

// Close ends it.
func (c *Collector) Close() error {
	c.server.Stop()
	return <-c.ended
}

// Spans are those that it took, in the order in which they came.
func (c *Collector) Spans() []Span {
	c.kept.mu.Lock()
	defer c.kept.mu.Unlock()
	return slices.Clone(c.kept.spans)
}

// Export implements the service.
func (k *kept) Export(_ context.Context, in *coltracepb.ExportTraceServiceRequest) (*coltracepb.ExportTraceServiceResponse, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, r := range in.GetResourceSpans() {
		instance := ""
		for _, a := range r.GetResource().GetAttributes() {
			if a.GetKey() == "service.instance.id" {
				instance = a.GetValue().GetStringValue()
			}
		}
		for _, scope := range r.GetScopeSpans() {
			for _, s := range scope.GetSpans() {
				k.spans = append(k.spans, Span{s, instance})
			}
		}
	}
	return &coltracepb.ExportTraceServiceResponse{}, nil
}
