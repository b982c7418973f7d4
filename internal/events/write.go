package events

import (
	"context"
	"errors"
	"net/http"

	"go.uber.org/zap"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	corev1client "k8s.io/client-go/kubernetes/typed/core/v1"
)

// Sink writes Events of all namespaces, and says how many a second: its methods wait for
// their turn.
type Sink interface {
	// Create makes an Event in its namespace.
	Create(ctx context.Context, e *corev1.Event) (*corev1.Event, error)
	// Patch changes an Event that was made, by a strategic merge patch.
	Patch(ctx context.Context, e *corev1.Event, patch []byte) (*corev1.Event, error)
}

// API is the API server as a Sink.
type API struct{ Client corev1client.EventsGetter }

// Create implements Sink.
func (a API) Create(ctx context.Context, e *corev1.Event) (*corev1.Event, error) {
	return a.Client.Events(e.Namespace).CreateWithEventNamespaceWithContext(ctx, e)
}

// Patch implements Sink.
func (a API) Patch(ctx context.Context, e *corev1.Event, patch []byte) (*corev1.Event, error) {
	return a.Client.Events(e.Namespace).PatchWithEventNamespaceWithContext(ctx, e, patch)
}

// write writes an Event. It is false where it is to be tried again; else the Event is
// written, or dropped and counted.
func (r *Recorder) write(ctx context.Context, e *entry) (done bool) {
	if e.as == nil {
		as, err := r.correlator.EventCorrelate(e.event)
		if err != nil || as.Skip {
			r.cfg.Meter.EventsDropped(droppedRepeated, 1)
			return true
		}
		e.as = as
	}
	written, err := r.send(ctx, e)
	switch {
	case err == nil:
		r.correlator.UpdateState(written)
		return true
	case refused(err):
		r.cfg.Meter.EventsDropped(droppedRefused, 1)
		r.cfg.Log.Debug("Event refused", zap.String("reason", e.event.Reason), zap.Error(err))
		return true
	}
	if e.tries++; e.tries >= maxTries {
		r.cfg.Meter.EventsDropped(droppedUnsent, 1)
		return true
	}
	return false
}

// send changes the Event that said the same before, or makes a new one.
func (r *Recorder) send(ctx context.Context, e *entry) (*corev1.Event, error) {
	ctx, cancel := context.WithTimeout(ctx, writeTimeout)
	defer cancel()
	event := e.as.Event
	if event.Count > 1 {
		written, err := r.cfg.Sink.Patch(ctx, event, e.as.Patch)
		if !apierrors.IsNotFound(err) {
			return written, err
		}
	}
	event.ResourceVersion = "" // it is gone, or was never there
	return r.cfg.Sink.Create(ctx, event)
}

// refused says whether the API server answered, and would answer so again.
func refused(err error) bool {
	var status apierrors.APIStatus
	switch {
	case !errors.As(err, &status), apierrors.IsTooManyRequests(err):
		return false
	}
	return status.Status().Code < http.StatusInternalServerError
}
