package scaler

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv1 "k8s.io/api/autoscaling/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/cache"

	"module-controller/tunnel"
)

// Reasons of the Events on a peer Deployment.
const (
	reasonScaled = "ReplicasFollowBases"
	reasonFailed = "ReplicasNotScaled"
)

// scaleTimeout bounds one write.
const scaleTimeout = 10 * time.Second

// scale sets the replicas of a Deployment, unless it has changed since it was looked at. What
// failed is told, but for what is ordinary: that it has changed, and that this replica may
// not write now.
func (s *Scaler) scale(ctx context.Context, d *appsv1.Deployment, to int) error {
	ctx, cancel := context.WithTimeout(ctx, scaleTimeout)
	defer cancel()
	key, was := cache.MetaObjectToName(d).String(), replicasOf(d)
	_, err := s.deps.Client.AppsV1().Deployments(d.Namespace).UpdateScale(ctx, d.Name, &autoscalingv1.Scale{
		ObjectMeta: metav1.ObjectMeta{Name: d.Name, Namespace: d.Namespace, ResourceVersion: d.ResourceVersion},
		Spec:       autoscalingv1.ScaleSpec{Replicas: int32(to)},
	}, metav1.UpdateOptions{})
	s.deps.Meter.Wrote("scale", err)
	switch {
	case err == nil:
		s.deps.Meter.PeersScaled(direction(was, to))
		s.deps.Log.Info("peer Deployment scaled", zap.String("deployment", key), zap.Int("from", was), zap.Int("to", to))
		s.deps.Recorder.Event(d, corev1.EventTypeNormal, reasonScaled, s.why(was, to))
		return nil
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), errors.Is(err, tunnel.ErrShut):
	default:
		s.refused.Tell("cannot scale a peer Deployment, retrying", "scale", key, zap.Error(err))
		s.deps.Recorder.Event(d, corev1.EventTypeWarning, reasonFailed, tunnel.Say(fmt.Sprintf("cannot scale from %d to %d: %v", was, to, err), tunnel.MaxText))
	}
	return fmt.Errorf("scale deployment %s: %w", key, err)
}

func direction(was, to int) string {
	if to > was {
		return "up"
	}
	return "down"
}

// why says why a Deployment is scaled.
func (s *Scaler) why(was, to int) string {
	if to > was {
		return fmt.Sprintf("scaled from %d to %d: so many bases are Ready on which its pods may run", was, to)
	}
	return fmt.Sprintf("scaled from %d to %d: in the last %s no more bases were Ready on which its pods may run", was, to, s.cfg.After)
}
