package election

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/shard"
)

// detectEvery is how often failed members are looked for.
const detectEvery = 100 * time.Millisecond

// detectFailures expires members that have failed, and fences those that lost the
// broker. None waits for another: a broker or an API server may take long to answer.
func (r *Replica) detectFailures(ctx context.Context) {
	var steps sync.WaitGroup
	defer steps.Wait()
	tick := time.NewTicker(detectEvery)
	defer tick.Stop()
	defer r.pulse.ends(loopMembers)
	for {
		r.pulse.beat(loopMembers)
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		for _, step := range r.memberSteps() {
			steps.Go(func() {
				if err := r.performMember(ctx, step); err != nil {
					r.log.Warn("member step failed", zap.String("member", step.Member.Name), zap.Error(err))
					pause(ctx, r.cfg.MemberRenew)
				}
				r.mu.Lock()
				delete(r.stepping, step.Member.Name)
				r.mu.Unlock()
			})
		}
	}
}

// memberSteps gives what members need now, one step at a time for each.
func (r *Replica) memberSteps() (steps []shard.Step) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.members {
		if r.stepping[name] {
			continue
		}
		if step, _ := r.state.MemberTurn(name, time.Now()); step.Kind != shard.Nothing {
			r.stepping[name] = true
			steps = append(steps, step)
		}
	}
	return steps
}

// performMember fences, expires or forgets a member.
func (r *Replica) performMember(ctx context.Context, step shard.Step) error {
	r.mu.Lock()
	lease := r.members[step.Member.Name]
	r.mu.Unlock()
	if lease == nil || revision(lease.ResourceVersion) != step.Member.Revision {
		return nil // seen anew meanwhile
	}
	if step.Kind == shard.ForgetMember {
		return r.forget(ctx, lease)
	}
	if as, err := r.asSeen(ctx, lease); !as {
		return err
	}
	r.evict(ctx, step.Member.Holder)
	if step.Kind == shard.ExpireMember {
		return r.expire(ctx, step.Member.Holder, lease)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state.Fenced(step.Member.Name)
	return nil
}

// asSeen says whether a member's Lease is as it was seen last: a watch may lag behind
// the truth, and an eviction harms who lives.
func (r *Replica) asSeen(ctx context.Context, lease *coordinationv1.Lease) (bool, error) {
	found, err := r.readMember(ctx, lease.Name)
	switch {
	case err != nil:
		return false, err
	case found == nil: // the watch missed its deletion
		r.memberGone(lease)
		return false, nil
	case found.ResourceVersion != lease.ResourceVersion:
		r.seeMember(found)
		return false, nil
	}
	return true, nil
}

// forget deletes the Lease of a member that left long ago.
func (r *Replica) forget(ctx context.Context, lease *coordinationv1.Lease) error {
	limited, answered := r.memberRequest(ctx)
	defer answered()
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &lease.ResourceVersion}}
	err := r.memberClient.Delete(limited, lease.Name, options)
	switch {
	case err == nil, apierrors.IsNotFound(err), apierrors.IsConflict(err):
		return nil
	}
	return fmt.Errorf("forget member %s: %w", lease.Name, err)
}

// evictTimeout bounds an eviction. A broker that does not answer has nothing open
// either, and bases wait for it.
const evictTimeout = 500 * time.Millisecond

// evict has the broker end what an incarnation has open there, as far as it can.
func (r *Replica) evict(ctx context.Context, incarnation string) {
	limited, cancel := context.WithTimeout(ctx, evictTimeout)
	defer cancel()
	if err := r.hooks.Evict(limited, incarnation); err != nil {
		r.log.Info("incarnation not evicted from the broker", zap.String("incarnation", incarnation), zap.Error(err))
	}
}

// expire takes the holder out of a member's Lease, if the Lease is as it was seen last.
func (r *Replica) expire(ctx context.Context, incarnation string, lease *coordinationv1.Lease) error {
	limited, answered := r.memberRequest(ctx)
	defer answered()
	vacant, err := r.memberClient.Update(limited, vacated(lease, r.cfg.Incarnation), metav1.UpdateOptions{})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return nil // it lives, or its Lease is gone: the watch shows it
	case err != nil:
		return fmt.Errorf("expire member %s: %w", lease.Name, err)
	}
	r.log.Warn("member expired", zap.String("incarnation", incarnation), zap.String("member", lease.Name))
	r.meter.Expired()
	r.seeMember(vacant)
	return nil
}
