package election

import (
	"context"
	"fmt"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/shard"
	"module-controller/tunnel"
)

// work does what one base needs, and says whether there may be more work.
func (r *Replica) work(ctx context.Context) bool {
	key, shutdown := r.queue.Get()
	if shutdown {
		return false
	}
	defer r.queue.Done(key)
	wait, err := r.turn(ctx, key)
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if r.Valid() {
			r.log.Warn("lease not written", zap.String("lease", key), zap.Error(err))
		}
		r.queue.AddRateLimited(key)
	default:
		r.queue.Forget(key)
		if wait > 0 {
			r.queue.AddAfter(key, wait)
		}
	}
	return true
}

// again is the wait of a base that needs another look at once.
const again = time.Microsecond

// turn performs the one step that a base needs, and returns how long until it
// needs a look; 0 means not by itself.
func (r *Replica) turn(ctx context.Context, key string) (time.Duration, error) {
	r.mu.Lock()
	step, wait := r.state.Turn(key, time.Now())
	lease := r.leases[key]
	r.mu.Unlock()
	id, _ := r.cfg.Base(key) // every key was made of a base, or was seen to be one's
	if step.Gained {
		r.log.Info("base owned", zap.Stringer("base", id), zap.Int32("epoch", step.Epoch))
	}
	if step.Gained || step.Leaving || step.Ending || step.Stays {
		r.hooks.Changed(id)
	}
	switch step.Kind {
	case shard.Nothing:
		return wait, nil
	case shard.ReadBase:
		return again, r.read(ctx, key)
	case shard.AskMember:
		return again, r.ask(ctx, step.Incarnation)
	case shard.DeleteBase:
		return 0, r.delete(ctx, key, id, step, lease)
	default: // the steps that write
	}
	return again, r.write(ctx, key, id, step, lease)
}

// baseTimeout bounds one request for a base's Lease: what became of one that took
// longer is read. Without it a connection that leads nowhere would hold all workers,
// and no Lease would be renewed.
const baseTimeout = 5 * time.Second

// write performs a step that leaves a Lease behind.
func (r *Replica) write(ctx context.Context, key string, id tunnel.BaseID, step shard.Step, lease *coordinationv1.Lease) error {
	ctx, cancel := context.WithTimeout(ctx, baseTimeout)
	defer cancel()
	var written *coordinationv1.Lease
	var err error
	now := r.cfg.Wall()
	holder := r.cfg.Incarnation
	switch {
	case step.Kind == shard.CreateBase:
		empty := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: key, Namespace: r.cfg.BaseNamespace}}
		if !step.Renewed.IsZero() {
			empty.Spec.RenewTime = &metav1.MicroTime{Time: step.Renewed}
		}
		written, err = r.bases.Create(ctx, held(empty, id, step, holder, r.cfg, now), metav1.CreateOptions{})
	case lease == nil || revision(lease.ResourceVersion) != step.Revision:
		return nil // seen anew meanwhile
	default:
		if step.Kind == shard.GiveBase || step.Kind == shard.ReleaseBase {
			holder = step.To.Holder
			if shard.Without("release-compares") {
				lease = lease.DeepCopy()
				lease.ResourceVersion = ""
			}
		}
		written, err = r.bases.Update(ctx, held(lease, id, step, holder, r.cfg, now), metav1.UpdateOptions{})
	}
	r.hooks.Wrote(err)
	if err != nil {
		return r.failed(key, id, step, err)
	}
	written.ManagedFields = nil
	seen := parse(written)
	r.mu.Lock()
	if known := r.leases[key]; known == nil || revision(known.ResourceVersion) <= seen.Revision {
		r.leases[key] = written
	}
	end := r.state.Wrote(key, step, seen, time.Now())
	r.mu.Unlock()
	if step.Kind == shard.CreateBase || step.Kind == shard.ClaimBase {
		r.log.Info("base claimed", zap.Stringer("base", id), zap.Int32("epoch", step.Epoch))
		r.hooks.Moved("claimed")
	}
	r.tellEnd(key, id, seen, end)
	return nil
}

// failed takes in that a write failed. What became of it is read next.
func (r *Replica) failed(key string, id tunnel.BaseID, step shard.Step, err error) error {
	r.mu.Lock()
	lost := r.state.Doubted(key, step)
	r.mu.Unlock()
	if lost {
		r.hooks.Changed(id)
		r.noteDrained()
	}
	if apierrors.IsConflict(err) || apierrors.IsNotFound(err) || apierrors.IsAlreadyExists(err) {
		return nil
	}
	return fmt.Errorf("write lease %s: %w", key, err)
}

// tellEnd says how a claim ended, if it did, and what its Lease shows now.
func (r *Replica) tellEnd(key string, id tunnel.BaseID, seen shard.Lease, end shard.End) {
	switch end {
	case shard.NoEnd:
		return
	case shard.Lost:
		r.log.Warn("base lost", zap.Stringer("base", id), zap.String("lease", key), zap.String("holder", seen.Holder))
		r.hooks.Moved("lost")
	case shard.Given:
		r.log.Info("base given", zap.Stringer("base", id), zap.Int32("epoch", seen.Epoch), zap.String("to", seen.Holder))
		r.hooks.Moved("transferred")
	case shard.Released:
		r.log.Info("base released", zap.Stringer("base", id))
		r.hooks.Moved("released")
	}
	r.hooks.Changed(id)
	r.noteDrained()
}

// read looks at a base's Lease as it is now.
func (r *Replica) read(ctx context.Context, key string) error {
	ctx, cancel := context.WithTimeout(ctx, baseTimeout)
	defer cancel()
	lease, err := r.bases.Get(ctx, key, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		r.mu.Lock()
		delete(r.leases, key)
		r.state.BaseGone(key, 0, nil, time.Now())
		r.mu.Unlock()
		return nil
	case err != nil:
		return fmt.Errorf("read lease %s: %w", key, err)
	}
	lease.ManagedFields = nil
	r.seeBase(lease)
	r.mu.Lock()
	r.state.Resolved(key)
	r.mu.Unlock()
	return nil
}

// ask reads the membership Lease that would be an incarnation's.
func (r *Replica) ask(ctx context.Context, incarnation string) error {
	name, _ := shard.PodOf(incarnation)
	lease, err := r.readMember(ctx, name)
	if err != nil {
		return err
	}
	var found *shard.Member
	if lease != nil {
		m := parseMember(lease)
		found = &m
		r.seeMember(lease)
	}
	r.mu.Lock()
	changed := r.state.Asked(incarnation, found, time.Now())
	r.mu.Unlock()
	if changed {
		r.lookAtAll()
	}
	return nil
}

// delete deletes the Lease of a base that is no more. The base is not held any more;
// if it is wished for again, what became of the deletion is read first.
func (r *Replica) delete(ctx context.Context, key string, id tunnel.BaseID, step shard.Step, lease *coordinationv1.Lease) error {
	if lease != nil {
		options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion}}
		limited, cancel := context.WithTimeout(ctx, baseTimeout)
		defer cancel()
		err := r.bases.Delete(limited, key, options)
		r.hooks.Wrote(err)
		if apierrors.IsConflict(err) {
			return r.read(ctx, key)
		}
		if err != nil && !apierrors.IsNotFound(err) {
			r.mu.Lock()
			r.state.Doubted(key, step)
			r.mu.Unlock()
			return fmt.Errorf("delete lease %s: %w", key, err)
		}
	}
	r.mu.Lock()
	delete(r.leases, key)
	r.state.Deleted(key)
	r.mu.Unlock()
	r.hooks.Changed(id)
	r.noteDrained()
	return nil
}
