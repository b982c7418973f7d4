package election

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/tunnel"
)

// join becomes a member. An earlier life of this name is waited for, until it has
// been silent for FailureTimeout, unless it left by itself or was of the same pod.
func (r *Replica) join(ctx context.Context) error {
	var seen uint64
	var since time.Time
	for {
		lease, err := r.readMember(ctx, r.state.Name)
		now := time.Now()
		switch {
		case err != nil:
		case lease == nil:
			lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: r.state.Name, Namespace: r.cfg.Namespace}}
			if err = r.writeMembership(ctx, lease); err == nil {
				return nil
			}
		default:
			if rev := revision(lease.ResourceVersion); rev != seen {
				seen, since = rev, now
			}
			var joined bool
			if joined, err = r.succeed(ctx, lease, now.Sub(since)); joined {
				return nil
			}
		}
		if err != nil {
			r.log.Warn("membership not begun", zap.Error(err))
		}
		if !pause(ctx, r.cfg.MemberRenew/4) {
			return fmt.Errorf("join as member %s: %w", r.state.Name, ctx.Err())
		}
	}
}

// succeed takes our membership Lease over from an earlier life, if that left, was of
// the same pod, or is silent for so long that it may not act.
func (r *Replica) succeed(ctx context.Context, lease *coordinationv1.Lease, silent time.Duration) (joined bool, err error) {
	was := parseMember(lease)
	samePod := r.cfg.PodUID != "" && lease.Annotations[notePodUID] == r.cfg.PodUID
	switch {
	case was.Holder == "", was.Holder == r.cfg.Incarnation: // an answer of ours was lost
		err = r.writeMembership(ctx, lease)
		return err == nil, err
	case !samePod && silent < max(r.cfg.FailureTimeout, was.RenewDeadline):
		if silent == 0 {
			r.log.Info("waiting for an earlier life of this replica to fall silent", zap.String("holder", was.Holder))
		}
		return false, nil
	}
	r.evict(ctx, was.Holder)
	if err = r.writeMembership(ctx, lease); err != nil {
		return false, err
	}
	r.mu.Lock()
	r.state.Succeeded(was.Holder, time.Now())
	r.mu.Unlock()
	return true, nil
}

func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// keep renews the membership until ctx ends or somebody else ended it. As often it has
// the bases looked at that should be another's since bases came or went.
func (r *Replica) keep(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.MemberRenew)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		case <-r.poke:
		}
		if err := r.renewMembership(ctx); err != nil {
			return err
		}
		r.lookAtShifted()
	}
}

// renewMembership writes until it succeeds, ctx ends or this incarnation was
// ended. A conflict proves nothing while our name stands there: an answer may have
// been lost.
func (r *Replica) renewMembership(ctx context.Context) error {
	for ctx.Err() == nil {
		r.mu.Lock()
		lease := r.peers[r.state.Name]
		r.mu.Unlock()
		if deref(lease.Spec.HolderIdentity) != r.cfg.Incarnation { // the watch was faster than our write
			return r.replaced(lease)
		}
		err := r.writeMembership(ctx, lease)
		if err == nil {
			return nil
		}
		if !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
			r.log.Warn("membership not renewed", zap.Error(err))
			r.mu.Lock()
			r.state.Interrupted()
			r.mu.Unlock()
			pause(ctx, r.cfg.MemberRenew/4)
			continue
		}
		found, err := r.readMember(ctx, r.state.Name)
		switch {
		case err != nil:
			pause(ctx, r.cfg.MemberRenew/4)
		case found == nil, deref(found.Spec.HolderIdentity) != r.cfg.Incarnation:
			return r.replaced(found)
		case found.ResourceVersion != lease.ResourceVersion && revision(found.ResourceVersion) <= revision(lease.ResourceVersion):
			r.log.Warn("resource versions fell: the API server has an older state than before",
				zap.String("was", lease.ResourceVersion), zap.String("is", found.ResourceVersion))
			return r.replaced(found) // nothing that was seen before holds any more
		default:
			r.seeMember(found)
		}
	}
	return nil
}

// replaced ends the right to act: the Lease, nil for none, names us no more.
func (r *Replica) replaced(lease *coordinationv1.Lease) error {
	by, holder := "who deleted it", ""
	if lease != nil {
		by, holder = lease.Annotations[noteKilledBy], deref(lease.Spec.HolderIdentity)
	}
	r.log.Warn("membership ended by somebody else", zap.String("by", by), zap.String("holder", holder))
	r.mu.Lock()
	r.state.Expire()
	r.mu.Unlock()
	return ErrReplaced
}

// writeMembership writes our membership Lease over the one given, whatever of it
// others may have written since being a conflict.
func (r *Replica) writeMembership(ctx context.Context, lease *coordinationv1.Lease) error {
	r.mu.Lock()
	tell := r.self
	tell.linked = tell.linked && r.synced
	census := r.state.Count(time.Now())
	tell.owned, tell.wanted = census.Held, census.Wanted
	r.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, r.cfg.MemberTimeout)
	defer cancel()
	next := joined(lease, r.cfg, tell, r.cfg.Wall())
	sent := time.Now()
	var written *coordinationv1.Lease
	var err error
	if lease.ResourceVersion == "" {
		written, err = r.members.Create(limited, next, metav1.CreateOptions{})
	} else {
		written, err = r.members.Update(limited, next, metav1.UpdateOptions{})
	}
	r.hooks.Wrote(err)
	if err != nil {
		return fmt.Errorf("write membership lease %s: %w", lease.Name, err)
	}
	r.seeMember(written)
	r.mu.Lock()
	again := r.state.Renewed(sent, time.Now())
	r.sent, r.announced = sent, r.announced || tell.linked
	close(r.renewed)
	r.renewed = make(chan struct{})
	r.mu.Unlock()
	if again {
		r.log.Info("member", zap.String("incarnation", r.cfg.Incarnation))
		r.lookAtAll()
		r.tellHeld()
	}
	return nil
}

// tellHeld says that the claims of all that is held are good again: while this
// replica might not act, whoever asked was told that there are none.
func (r *Replica) tellHeld() {
	r.mu.Lock()
	var held []tunnel.BaseID
	for _, key := range r.state.Held() {
		id, _ := r.cfg.Base(key) // it is held
		held = append(held, id)
	}
	r.mu.Unlock()
	for _, id := range held {
		r.hooks.Changed(id)
	}
}

// readMember reads a membership Lease; nil where there is none.
func (r *Replica) readMember(ctx context.Context, name string) (*coordinationv1.Lease, error) {
	limited, cancel := context.WithTimeout(ctx, r.cfg.MemberTimeout)
	defer cancel()
	lease, err := r.members.Get(limited, name, metav1.GetOptions{})
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read membership lease %s: %w", name, err)
	}
	return lease, nil
}

// leave gives the membership up. Nothing is held any more, and from now on others
// take it that nothing is done.
func (r *Replica) leave(ctx context.Context) error {
	r.mu.Lock()
	r.state.Expire()
	r.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, r.cfg.MemberTimeout)
	defer cancel()
	for limited.Err() == nil {
		r.mu.Lock()
		lease := r.peers[r.state.Name]
		r.mu.Unlock()
		if deref(lease.Spec.HolderIdentity) != r.cfg.Incarnation {
			return nil
		}
		left, err := r.members.Update(limited, ended(lease, ""), metav1.UpdateOptions{})
		switch {
		case err == nil:
			r.seeMember(left)
			return nil
		case !apierrors.IsConflict(err):
			return fmt.Errorf("leave: %w", err)
		}
		// Our own renewal came in between: it is seen in a moment.
		pause(limited, 10*time.Millisecond)
	}
	return nil
}
