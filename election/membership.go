package election

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/utils/ptr"

	"module-controller/tunnel"
)

// The membership of a session, in the order of its life: join, which may have to
// succeed an earlier session; renew, again and again; and at its end leave, or be
// replaced.

// predecessor is an earlier session of our name, for as long as it did not renew.
type predecessor struct {
	revision uint64    // of its membership Lease
	since    time.Time // when that was read first
}

// join becomes a member. An earlier session of this name is waited for, until it did
// not renew for FailureTimeout, unless it left by itself or was of the same pod. Members of
// other formats are waited for until they are gone: see formats.
func (r *Replica) join(ctx context.Context) error {
	var j joining
	err := wait.PollUntilContextCancel(ctx, r.cfg.memberRetry(), true, func(ctx context.Context) (bool, error) {
		joined, err := r.tryJoin(ctx, &j)
		if err != nil {
			r.log.Warn("join failed, retrying", zap.Error(err))
		}
		return joined, nil
	})
	if err != nil {
		return fmt.Errorf("join as member %s: %w", r.state.Name, err)
	}
	return nil
}

func (r *Replica) tryJoin(ctx context.Context, j *joining) (joined bool, err error) {
	if fits, err := r.fits(ctx, j); err != nil || !fits {
		return false, err
	}
	lease, err := r.readMember(ctx, r.state.Name)
	if err != nil {
		return false, err
	}
	if lease == nil {
		lease = &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: r.state.Name, Namespace: r.cfg.Namespace}}
		err = r.writeMembership(ctx, lease)
		return err == nil, err
	}
	now := time.Now()
	if rev := revision(lease.ResourceVersion); rev != j.before.revision {
		j.before = predecessor{rev, now}
	}
	return r.succeed(ctx, lease, now.Sub(j.before.since))
}

// succeed takes our membership Lease over from an earlier session, if that left, was of
// the same pod, or did not renew for so long that it may not act.
func (r *Replica) succeed(ctx context.Context, lease *coordinationv1.Lease, silent time.Duration) (joined bool, err error) {
	was := parseMember(lease)
	switch {
	case was.Holder == "", was.Holder == r.cfg.Incarnation: // an answer of ours was lost
		r.mu.Lock()
		r.state.Vacant(was, time.Now()) // once our name stands there the Lease tells it no more
		r.mu.Unlock()
		err = r.writeMembership(ctx, lease)
		return err == nil, err
	case r.cfg.ofSamePod(lease): // its container ended before ours began
	case silent < max(r.cfg.FailureTimeout, r.cfg.MayAct(was)):
		if silent == 0 {
			r.log.Info("waiting for the previous session of this replica to expire", zap.String("holder", was.Holder))
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

// ofSamePod says whether a membership Lease was written by an earlier container of
// this pod.
func (c Config) ofSamePod(lease *coordinationv1.Lease) bool {
	return c.PodUID != "" && lease.Annotations[notePodUID] == c.PodUID
}

// keep renews the membership until ctx ends or somebody else ended the session. As often
// it has the bases reconciled that are assigned to another member since bases came or
// went, and sees whether somebody else holds bases.
func (r *Replica) keep(ctx context.Context) error {
	tick := time.NewTicker(r.cfg.MemberRenew)
	defer tick.Stop()
	tell := time.Now().Add(tellForeignAfter)
	defer r.pulse.ends(loopMembership)
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
		r.reconcileShifted()
		tell = r.tellForeign(tell)
	}
}

// renewMembership writes until it succeeds, ctx ends or this session was ended. A
// conflict proves nothing while our name stands there: an answer may have been lost.
func (r *Replica) renewMembership(ctx context.Context) error {
	for ctx.Err() == nil {
		r.pulse.beat(loopMembership)
		lease := r.ownLease()
		if !holds(r.cfg.Incarnation, lease) { // the watch was faster than our write
			return r.replaced(lease)
		}
		err := r.writeMembership(ctx, lease)
		switch {
		case err == nil:
			return nil
		case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		default:
			r.log.Warn("membership not renewed", zap.Error(err))
			r.mu.Lock()
			r.state.Interrupted()
			r.mu.Unlock()
			pause(ctx, r.cfg.memberRetry())
			continue
		}
		found, err := r.readMember(ctx, r.state.Name)
		if err != nil {
			pause(ctx, r.cfg.memberRetry())
			continue
		}
		if err := r.takeIn(found, lease); err != nil {
			return err
		}
	}
	return nil
}

// takeIn takes in what our membership Lease is after a conflict, nil for none; was is
// what was known of it. It returns ErrReplaced where the session is over.
func (r *Replica) takeIn(found, was *coordinationv1.Lease) error {
	if !holds(r.cfg.Incarnation, found) {
		return r.replaced(found)
	}
	if found.ResourceVersion != was.ResourceVersion && revision(found.ResourceVersion) <= revision(was.ResourceVersion) {
		r.log.Warn("resource versions fell: the API server has an older state than before",
			zap.String("was", was.ResourceVersion), zap.String("is", found.ResourceVersion))
		return r.replaced(found) // nothing that was seen before holds any more
	}
	r.seeMember(found)
	return nil
}

// ownLease gives our membership Lease as it was seen last.
func (r *Replica) ownLease() *coordinationv1.Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.members[r.state.Name]
}

// replaced ends the session: the Lease, nil for none, names us no more.
func (r *Replica) replaced(lease *coordinationv1.Lease) error {
	by, holder := "who deleted it", ""
	if lease != nil {
		by, holder = lease.Annotations[noteExpiredBy], ptr.Deref(lease.Spec.HolderIdentity, "")
	}
	r.log.Warn("session ended by somebody else", zap.String("by", by), zap.String("holder", holder))
	r.mu.Lock()
	r.state.Expire()
	r.mu.Unlock()
	return ErrReplaced
}

// leave gives the membership up. Nothing is owned any more, and from now on others
// take it that nothing is done. Where it cannot be given up in time, it expires.
func (r *Replica) leave(ctx context.Context) error {
	r.mu.Lock()
	r.state.Expire()
	r.mu.Unlock()
	limited, cancel := context.WithTimeout(ctx, r.cfg.MemberTimeout)
	defer cancel()
	contested := false
	err := wait.PollUntilContextCancel(limited, 10*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		left, err := r.tryLeave(ctx)
		if apierrors.IsConflict(err) { // our own renewal came in between: it is seen in a moment
			contested = true
			return false, nil
		}
		return left, err
	})
	if contested && limited.Err() != nil {
		return nil
	}
	return err
}

func (r *Replica) tryLeave(ctx context.Context) (left bool, err error) {
	lease := r.ownLease()
	if !holds(r.cfg.Incarnation, lease) {
		return true, nil
	}
	vacant, err := r.memberClient.Update(ctx, vacated(lease, ""), metav1.UpdateOptions{})
	if err != nil {
		return false, fmt.Errorf("leave: %w", err)
	}
	r.seeMember(vacant)
	return true, nil
}

// writeMembership writes our membership Lease over the one given, whatever of it
// others may have written since being a conflict.
func (r *Replica) writeMembership(ctx context.Context, lease *coordinationv1.Lease) error {
	sent := time.Now()
	tell := r.announce(sent)
	limited, answered := r.memberRequest(ctx)
	defer answered()
	next := joined(lease, r.cfg, tell, r.cfg.Wall())
	var written *coordinationv1.Lease
	var err error
	if lease.ResourceVersion == "" {
		written, err = r.memberClient.Create(limited, next, metav1.CreateOptions{})
	} else {
		written, err = r.memberClient.Update(limited, next, metav1.UpdateOptions{})
	}
	r.meter.Wrote("lease", err)
	if err != nil {
		return fmt.Errorf("write membership lease %s: %w", lease.Name, err)
	}
	r.memberLag.Wrote(written.ResourceVersion, time.Now())
	r.tellRequests(lease)
	r.seeMember(written)
	r.mu.Lock()
	again := r.state.Renewed(sent, time.Now(), tell.window)
	r.sent, r.announced = sent, r.announced || tell.linked
	close(r.renewed)
	r.renewed = make(chan struct{})
	r.mu.Unlock()
	if again {
		r.log.Info("joined", zap.String("incarnation", r.cfg.Incarnation))
		r.reconcileAll()
		r.tellOwned()
	}
	return nil
}

// announce gives what the next membership write is to tell.
func (r *Replica) announce(now time.Time) announcement {
	r.mu.Lock()
	defer r.mu.Unlock()
	tell := r.self
	tell.linked = tell.linked && r.synced // who knows no Leases can own nothing
	tell.window = r.state.Window(now)
	census := r.state.Count(now)
	tell.owned, tell.assigned = census.Owned, census.Assigned
	return tell
}

// tellOwned says that the claims of all that is owned are good again: while this
// replica might not act, whoever asked was told that there are none.
func (r *Replica) tellOwned() {
	r.mu.Lock()
	var owned []tunnel.BaseID
	for _, key := range r.state.Owned() {
		id, _ := r.cfg.Base(key) // it is owned
		owned = append(owned, id)
	}
	r.mu.Unlock()
	for _, id := range owned {
		r.hooks.Changed(id)
	}
}
