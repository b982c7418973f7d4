package election

import (
	"context"
	"fmt"
	"maps"
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
	defer r.pulse.beat(loopBases)
	wait, err := r.turn(ctx, key)
	if err == nil && wait == again { // most need nothing more, and no place in the queue
		wait, err = r.turn(ctx, key)
	}
	switch {
	case ctx.Err() != nil:
	case err != nil:
		if r.Valid() {
			r.tellNotWritten(key, err)
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

// tellNotWritten tells that a base's Lease was not written, once in a while for all.
func (r *Replica) tellNotWritten(key string, err error) {
	if tell, untold := r.brake.tell(time.Now()); tell {
		r.log.Warn("lease not written", zap.String("lease", key), zap.Int("others", untold), zap.Bool("allWait", r.brake.engaged()), zap.Error(err))
	}
}

// again is the wait of a base that is to be reconciled again at once.
const again = time.Microsecond

// turn is the step that one base needs now, and what it was decided on.
type turn struct {
	key   string
	id    tunnel.BaseID
	step  shard.Step
	lease *coordinationv1.Lease // nil for none
}

// turn performs the one step that a base needs, and returns after how long to
// reconcile it again; 0 means not by itself.
func (r *Replica) turn(ctx context.Context, key string) (time.Duration, error) {
	r.mu.Lock()
	step, wait := r.state.Turn(key, time.Now())
	lease, waits := r.bases[key], r.state.Waits()
	r.mu.Unlock()
	if waits {
		nudge(r.wait)
	}
	id, _ := r.cfg.Base(key) // every key was made of a base, or was seen to be one's
	if step.Gained() {
		r.log.Info("base owned", zap.Stringer("base", id), zap.Int32("epoch", step.Epoch))
	}
	if step.Changed() {
		r.hooks.Changed(id)
	}
	switch step.Kind {
	case shard.Nothing:
		return wait, nil
	case shard.AskMember:
		return again, r.ask(ctx, step.Incarnation)
	default: // a request for the base's Lease
	}
	if wait := r.brake.wait(time.Now()); wait > 0 {
		return wait, nil
	}
	return r.perform(ctx, turn{key: key, id: id, step: step, lease: lease})
}

// perform does what a turn asks of a base's Lease.
func (r *Replica) perform(ctx context.Context, t turn) (time.Duration, error) {
	switch t.step.Kind {
	case shard.ReadBase:
		return again, r.read(ctx, t.key)
	case shard.DeleteBase:
		return 0, r.delete(ctx, t)
	case shard.CreateBase:
		return again, r.write(ctx, t, r.create)
	default: // the steps that update
	}
	if t.lease == nil || revision(t.lease.ResourceVersion) != t.step.Revision {
		return again, nil // seen anew meanwhile
	}
	return again, r.write(ctx, t, r.update)
}

// baseTimeout bounds one request for a base's Lease at most: what became of one that took
// longer is read. Without it a connection that leads nowhere would hold all workers,
// and no Lease would be renewed.
const baseTimeout = 5 * time.Second

// write performs a step that leaves a Lease behind, by create or update.
func (r *Replica) write(ctx context.Context, t turn, send func(context.Context, turn) (*coordinationv1.Lease, error)) error {
	limited, answered := r.baseRequest(ctx)
	written, err := send(limited, t)
	answered(err)
	r.meter.Wrote("lease", err)
	if err != nil {
		return r.failed(t, err)
	}
	r.wrote(t, written)
	return nil
}

// create makes a base's Lease. Its renew time goes on where that of an earlier one
// ended.
func (r *Replica) create(ctx context.Context, t turn) (*coordinationv1.Lease, error) {
	empty := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: t.key, Namespace: r.cfg.BaseNamespace}}
	if last := t.step.Renewed; !last.IsZero() {
		empty.Spec.RenewTime = &metav1.MicroTime{Time: last}
	}
	return r.baseClient.Create(ctx, r.stepped(empty, t), metav1.CreateOptions{})
}

// update writes over the Lease that the step was decided on, by its resource version.
func (r *Replica) update(ctx context.Context, t turn) (*coordinationv1.Lease, error) {
	return r.baseClient.Update(ctx, r.stepped(t.lease, t), metav1.UpdateOptions{})
}

// stepped is a base's Lease as a turn is to leave it, with what the base's server tells by it.
func (r *Replica) stepped(lease *coordinationv1.Lease, t turn) *coordinationv1.Lease {
	labels, notes := r.nodes.LeaseMeta(t.id)
	labels = maps.Clone(labels)
	put(&labels, labelEnv, t.id.Env)
	return stepped(lease, t.step, labels, notes, r.cfg, r.cfg.Wall())
}

// wrote takes in that a write succeeded.
func (r *Replica) wrote(t turn, written *coordinationv1.Lease) {
	written.ManagedFields = nil
	r.baseLag.Wrote(written.ResourceVersion, time.Now())
	seen := parse(written)
	r.mu.Lock()
	r.bases.keep(written)
	end := r.state.Wrote(t.key, t.step, seen, time.Now())
	r.mu.Unlock()
	switch t.step.Kind {
	case shard.CreateBase, shard.ClaimBase:
		r.log.Info("base claimed", zap.Stringer("base", t.id), zap.Int32("epoch", t.step.Epoch))
		r.meter.Moved("claimed")
		r.noteClaimed(t.key, t.step.Epoch, t.lease)
	default: // no ownership begins
	}
	r.tellEnd(t.key, t.id, seen, end)
}

// failed takes in that a write failed. What became of it is read next.
func (r *Replica) failed(t turn, err error) error {
	r.mu.Lock()
	lost := r.state.Doubted(t.key, t.step)
	r.mu.Unlock()
	if lost {
		r.hooks.Changed(t.id)
		r.noteDrained()
	}
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsAlreadyExists(err):
		return nil
	}
	return fmt.Errorf("write lease %s: %w", t.key, err)
}

// tellEnd says how a claim ended, if it did, and what its Lease shows now.
func (r *Replica) tellEnd(key string, id tunnel.BaseID, seen shard.Lease, end shard.End) {
	switch end {
	case shard.NoEnd:
		return
	case shard.Lost:
		r.log.Warn("base lost", zap.Stringer("base", id), zap.String("lease", key), zap.String("holder", seen.Holder))
		r.meter.Moved("lost")
	case shard.Transferred:
		r.log.Info("base transferred", zap.Stringer("base", id), zap.Int32("epoch", seen.Epoch), zap.String("to", seen.Holder))
		r.meter.Moved("transferred")
	case shard.Released:
		r.log.Info("base released", zap.Stringer("base", id))
		r.meter.Moved("released")
	}
	r.noteEnd(key, seen, end)
	r.hooks.Changed(id)
	r.noteDrained()
}

// read reads a base's Lease as it is now.
func (r *Replica) read(ctx context.Context, key string) error {
	limited, answered := r.baseRequest(ctx)
	lease, err := r.baseClient.Get(limited, key, metav1.GetOptions{})
	answered(err)
	switch {
	case apierrors.IsNotFound(err):
		r.mu.Lock()
		delete(r.bases, key)
		r.state.BaseGone(key, 0, nil, time.Now())
		r.mu.Unlock()
		r.noteDrained()
		return nil
	case err != nil:
		return fmt.Errorf("read lease %s: %w", key, err)
	}
	lease.ManagedFields = nil
	r.seeBase(lease)
	r.mu.Lock()
	r.state.Resolved(key)
	r.mu.Unlock()
	r.noteDrained()
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
	now := time.Now()
	r.mu.Lock()
	change := r.state.Asked(incarnation, found, now)
	concerned := r.state.Concerned(change, now)
	r.mu.Unlock()
	r.takeUp(change, concerned)
	return nil
}

// delete deletes the Lease of a base that is gone. The base is not owned any more; if
// it is requested again, what became of the deletion is read first.
func (r *Replica) delete(ctx context.Context, t turn) error {
	if t.lease != nil {
		limited, answered := r.baseRequest(ctx)
		err := r.baseClient.Delete(limited, t.key, asItIs(t.lease))
		answered(err)
		r.meter.Wrote("lease", err)
		switch {
		case err == nil, apierrors.IsNotFound(err):
		case apierrors.IsConflict(err):
			return r.read(ctx, t.key)
		default:
			r.mu.Lock()
			r.state.Doubted(t.key, t.step)
			r.mu.Unlock()
			return fmt.Errorf("delete lease %s: %w", t.key, err)
		}
	}
	r.mu.Lock()
	delete(r.bases, t.key)
	r.state.Deleted(t.key)
	r.mu.Unlock()
	r.noteRetired(t.key, t.step.Epoch)
	r.hooks.Changed(t.id)
	r.noteDrained()
	return nil
}

// asItIs has a Lease deleted only if it is as it was seen.
func asItIs(lease *coordinationv1.Lease) metav1.DeleteOptions {
	return metav1.DeleteOptions{Preconditions: &metav1.Preconditions{UID: &lease.UID, ResourceVersion: &lease.ResourceVersion}}
}
