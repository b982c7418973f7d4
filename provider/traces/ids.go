package traces

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"math/rand/v2"

	"go.opentelemetry.io/otel/trace"
	"k8s.io/apimachinery/pkg/types"
)

// TraceOf is the trace of a pod: the first 32 digits of the SHA-256 of its UID. The UID
// itself would do for an id, but some of its bits are the same in all, and samplers decide by
// those.
func TraceOf(uid types.UID) trace.TraceID {
	id, _ := idsOf(uid)
	return id
}

// idsOf gives the trace of a pod and its root.
func idsOf(uid types.UID) (of trace.TraceID, root trace.SpanID) {
	sum := sha256.Sum256([]byte(uid))
	return trace.TraceID(sum[:16]), trace.SpanID(sum[16:24])
}

// IDs makes the ids of spans for the SDK, of which it is the IDGenerator: those of a root
// follow from the pod, those of all others are random.
type IDs struct{}

// rooted is the key by which a context has the pod of a root: the SDK hands its generator
// nothing else.
type rooted struct{}

// NewIDs gives the ids of a root.
func (IDs) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	if uid, of := ctx.Value(rooted{}).(types.UID); of {
		return idsOf(uid)
	}
	var id trace.TraceID
	binary.NativeEndian.PutUint64(id[:8], random())
	binary.NativeEndian.PutUint64(id[8:], random())
	return id, newSpanID()
}

// NewSpanID gives the id of a span of a trace.
func (IDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return newSpanID() }

func newSpanID() (id trace.SpanID) {
	binary.NativeEndian.PutUint64(id[:], random())
	return id
}

// random is not 0, which is no id.
func random() uint64 { return max(rand.Uint64(), 1) }
