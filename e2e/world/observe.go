package world

import (
	"strings"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"

	"module-controller/e2e/harness"
	"module-controller/e2e/history"
)

// BaseOf gives the identity in a Node's name.
func (a *API) BaseOf(node string) string {
	return strings.TrimSuffix(strings.TrimPrefix(node, "vnode."), "."+a.Env)
}

func (r *Recorder) seeLease(l *coordinationv1.Lease, deleted bool) {
	if deleted {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	base, now := r.BaseOf(l.Name), OwnerOf(*l)
	if !strings.HasPrefix(now.Holder, harness.Namespace+"-") || r.last[base] == now {
		return // nobody's, or edited by hand
	}
	r.last[base] = now
	r.h.Claims = append(r.h.Claims, history.Claim{At: time.Now(), Base: base, Holder: now.Holder, Epoch: int(now.Epoch)})
}

// seeMember notes each change of who holds a membership Lease.
func (r *Recorder) seeMember(l *coordinationv1.Lease, deleted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	holder := OwnerOf(*l).Holder
	if deleted {
		holder = ""
	}
	if was, known := r.held[l.Name]; known && was == holder {
		return
	}
	r.held[l.Name] = holder
	r.h.Sessions = append(r.h.Sessions, history.Session{
		At: time.Now(), Member: l.Name, Holder: holder, Version: l.Annotations["virtual-kubelet.koupleless.io/version"],
	})
}

func (r *Recorder) seeNode(n *corev1.Node, deleted bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	seen := history.Observation{At: time.Now(), Base: r.BaseOf(n.Name)}
	switch {
	case deleted:
		seen.What = "deleted"
	case !NodeReady(*n):
		seen.What = "not Ready"
	default:
		return
	}
	r.h.Observations = append(r.h.Observations, seen)
}

func (r *Recorder) seePod(p *corev1.Pod, deleted bool) {
	if p.Spec.NodeName == "" {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	is := r.pods[p.UID]
	if is == nil {
		is = r.newPod(p, now)
	}
	note := func(happened bool, when *time.Time) {
		if happened && when.IsZero() {
			*when = now
		}
	}
	note(PodReady(*p), &is.Ready)
	note(p.DeletionTimestamp != nil || deleted, &is.Deleted)
	note(deleted, &is.Gone)
	close(r.seen)
	r.seen = make(chan struct{})
}

// newPod notes a pod that was not seen before. The caller holds mu.
func (r *Recorder) newPod(p *corev1.Pod, now time.Time) *history.Pod {
	is := &history.Pod{UID: string(p.UID), Base: r.BaseOf(p.Spec.NodeName), Meets: p.Labels[meets] != "", Created: now, Before: PodReady(*p)}
	for _, c := range p.Spec.Containers {
		is.Modules = append(is.Modules, c.Name+":"+c.Env[0].Value)
	}
	r.pods[p.UID] = is
	if base, known := r.on[p.Name]; known && base != is.Base {
		r.on[p.Name] = "" // a write of a pod of this name is of no certain base
	} else {
		r.on[p.Name] = is.Base
	}
	return is
}
