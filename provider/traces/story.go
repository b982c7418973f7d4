package traces

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"

	"module-controller/provider/plan"
	"module-controller/tunnel"
)

// Story is what is remembered of a base between its Turns. Its zero value is of a base that
// was not served yet.
type Story struct {
	epoch int32
	// planned are the pods on their way that a plan of this epoch had.
	planned map[types.UID]bool
}

// Turn is one reconciliation of a base that may be acted for: what was seen and decided.
type Turn struct {
	Base   tunnel.BaseID
	Tunnel string
	// Epoch is that of the claim, which was won at Claimed.
	Epoch   int32
	Claimed time.Time
	// Began and Ended are when it was.
	Began, Ended time.Time
	// Pods are those on the Node; Current says that they are as the claim needs them.
	Pods    []plan.Pod
	Current bool
	// List is the base's list that came since the last Turn; nil for none.
	List *tunnel.Report
	// Send is to be sent, Ends are commands that have ended, Write is to be written.
	Send  []plan.Planned
	Ends  []plan.Ended
	Write []plan.PodStatus
}

// Turned takes in a Turn of a base. A span that ctx has is no parent of these.
func (t *Tracer) Turned(ctx context.Context, s *Story, in Turn) {
	if t == nil {
		return
	}
	if s.epoch != in.Epoch {
		*s = Story{epoch: in.Epoch}
	}
	on := t.take(ctx, s, in)
	for _, c := range in.Send {
		if p, is := on[c.Pod]; is {
			t.child(ctx, c.Pod, span{name: "plan", kind: trace.SpanKindInternal, began: in.Began, ended: in.Ended,
				attributes: append(in.attributes(p), commandAttributes(c.Command)...)})
		}
	}
	for _, e := range in.Ends {
		if p, is := on[e.Pod]; is {
			t.child(ctx, e.Pod, ended(e, in, p))
		}
	}
	t.tellList(ctx, in, on)
}

// take takes in which pods are on their way, and tells of those that no plan had before. While
// not all pods are known nothing is planned for them.
func (t *Tracer) take(ctx context.Context, s *Story, in Turn) map[types.UID]plan.Pod {
	var on map[types.UID]plan.Pod
	var planned map[types.UID]bool
	for _, p := range in.Pods {
		if !starts(p) {
			continue
		}
		put(&on, p.UID, p)
		switch {
		case s.planned[p.UID]:
			put(&planned, p.UID, true)
		case in.Current:
			put(&planned, p.UID, true)
			t.child(ctx, p.UID, span{name: "queue pod", kind: trace.SpanKindInternal, ended: in.Began, attributes: in.attributes(p),
				began: later(boundAt(p.CreationTimestamp, p.Status), in.Claimed)})
		}
	}
	s.planned = planned
	return on
}

// put makes the map with its first entry: most Turns of a base need none.
func put[V any](m *map[types.UID]V, uid types.UID, v V) {
	if *m == nil {
		*m = map[types.UID]V{}
	}
	(*m)[uid] = v
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// ended is a command that has ended. A base that answers tells when, a list only that.
func ended(e plan.Ended, in Turn, p plan.Pod) span {
	s := span{name: string(e.Verb) + " module", kind: trace.SpanKindClient, began: e.Sent, ended: e.Answered,
		attributes: append(in.attributes(p), commandAttributes(e.Command)...)}
	if s.ended.IsZero() {
		s.ended = in.Began
	}
	s.attributes = append(s.attributes, keyRequest.String(e.RequestID), keyResult.String(string(e.Result)))
	if e.Result != plan.Done {
		s.failure = string(e.Result)
	}
	return s
}

// tellList tells of the list by which pods are Ready.
func (t *Tracer) tellList(ctx context.Context, in Turn, on map[types.UID]plan.Pod) {
	if in.List == nil {
		return
	}
	began := in.List.Asked
	if began.IsZero() {
		began = in.List.Received
	}
	for _, w := range in.Write {
		p, is := on[w.Pod.UID]
		if !is || !isReady(w.Status) {
			continue
		}
		t.child(ctx, p.UID, span{name: "list modules", kind: trace.SpanKindClient, began: began, ended: in.List.Received,
			attributes: append(in.attributes(p), keyVerb.String(string(tunnel.ListModules)))})
	}
}

// attributes say which pod on which base a span is of.
func (in Turn) attributes(p plan.Pod) []attribute.KeyValue {
	return append(podAttributes(p.Pod),
		keyEnvironment.String(in.Base.Env), keyIdentity.String(in.Base.Identity), keyTunnel.String(in.Tunnel), keyEpoch.Int(int(in.Epoch)))
}
