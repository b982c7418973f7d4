package election

import (
	"cmp"
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

// Labels of a base's Lease. They change only with its ownership.
const (
	labelComponent = "virtual-kubelet.koupleless.io/component"
	componentLease = "vnode-lease"
	labelEnv       = "virtual-kubelet.koupleless.io/env"
	labelOwner     = "virtual-kubelet.koupleless.io/owner"
	labelState     = "virtual-kubelet.koupleless.io/state"
	stateOwned     = "owned"
)

// verdict is what may be done about a Lease as it is.
type verdict int

const (
	ours    verdict = iota // it names this very life
	free                   // nobody's, or an earlier life's of this pod
	foreign                // somebody else's
)

// judge looks at a Lease from the point of view of a holder.
func judge(lease *coordinationv1.Lease, holder string) verdict {
	other := deref(lease.Spec.HolderIdentity)
	pod, _, _ := strings.Cut(holder, "_")
	switch {
	case other == holder:
		return ours
	case other == "", strings.HasPrefix(other, pod+"_"):
		return free
	}
	return foreign
}

// takeAfter is how long a foreign holder's Lease must stay unchanged before it is
// taken.
func takeAfter(lease *coordinationv1.Lease, cfg Config) time.Duration {
	seconds := cmp.Or(deref(lease.Spec.LeaseDurationSeconds), int32(cfg.Duration/time.Second))
	return time.Duration(seconds)*time.Second + cfg.ForeignGrace
}

// claimed is the Lease as it is to be written to claim it.
func claimed(lease *coordinationv1.Lease, id tunnel.BaseID, cfg Config, now time.Time) *coordinationv1.Lease {
	next := renewed(lease, cfg, now)
	at := *next.Spec.RenewTime
	holder, transitions := cfg.Holder, deref(lease.Spec.LeaseTransitions)+1
	next.Spec.HolderIdentity, next.Spec.LeaseTransitions, next.Spec.AcquireTime = &holder, &transitions, &at
	next.Spec.PreferredHolder, next.Spec.Strategy = nil, nil
	if next.Labels == nil {
		next.Labels = map[string]string{}
	}
	pod, _, _ := strings.Cut(cfg.Holder, "_")
	next.Labels[labelComponent], next.Labels[labelEnv] = componentLease, id.Env
	next.Labels[labelOwner], next.Labels[labelState] = pod, stateOwned
	return next
}

// renewed is the Lease as it is to be written to renew it. Renew times only grow,
// across owners too: the node controller ignores others.
func renewed(lease *coordinationv1.Lease, cfg Config, now time.Time) *coordinationv1.Lease {
	next := lease.DeepCopy()
	at := metav1.NewMicroTime(now)
	if was := lease.Spec.RenewTime; was != nil && !at.After(was.Time) {
		at = metav1.NewMicroTime(was.Add(time.Microsecond))
	}
	seconds := int32(cfg.Duration / time.Second)
	next.Spec.RenewTime, next.Spec.LeaseDurationSeconds = &at, &seconds
	return next
}

func deref[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
