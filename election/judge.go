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

// judgeEvery is how often members are judged.
const judgeEvery = 100 * time.Millisecond

// judge kills members that are silent for too long. None waits for another: a broker
// or an API server may take long to answer.
func (r *Replica) judge(ctx context.Context) {
	var ends sync.WaitGroup
	defer ends.Wait()
	tick := time.NewTicker(judgeEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		r.mu.Lock()
		var steps []shard.Step
		for name := range r.peers {
			if step, _ := r.state.MemberTurn(name, time.Now()); step.Kind != shard.Nothing && !r.ending[name] {
				r.ending[name] = true
				steps = append(steps, step)
			}
		}
		r.mu.Unlock()
		for _, step := range steps {
			ends.Go(func() {
				if err := r.end(ctx, step); err != nil {
					r.log.Warn("member not ended", zap.String("member", step.Member.Name), zap.Error(err))
					pause(ctx, r.cfg.MemberRenew)
				}
				r.mu.Lock()
				delete(r.ending, step.Member.Name)
				r.mu.Unlock()
			})
		}
	}
}

// end fences, kills or forgets a member.
func (r *Replica) end(ctx context.Context, step shard.Step) error {
	r.mu.Lock()
	lease := r.peers[step.Member.Name]
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
	if step.Kind == shard.FenceMember {
		r.evict(ctx, step.Member.Holder)
		r.mu.Lock()
		defer r.mu.Unlock()
		r.state.Fenced(step.Member.Name)
		return nil
	}
	return r.kill(ctx, step.Member.Holder, lease)
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
	limited, cancel := context.WithTimeout(ctx, r.cfg.MemberTimeout)
	defer cancel()
	options := metav1.DeleteOptions{Preconditions: &metav1.Preconditions{ResourceVersion: &lease.ResourceVersion}}
	err := r.members.Delete(limited, lease.Name, options)
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		return fmt.Errorf("forget member %s: %w", lease.Name, err)
	}
	return nil
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

// kill takes the holder out of a member's Lease, if the Lease is as it was seen last.
func (r *Replica) kill(ctx context.Context, incarnation string, lease *coordinationv1.Lease) error {
	r.evict(ctx, incarnation)
	limited, cancel := context.WithTimeout(ctx, r.cfg.MemberTimeout)
	defer cancel()
	dead, err := r.members.Update(limited, ended(lease, r.cfg.Incarnation), metav1.UpdateOptions{})
	switch {
	case apierrors.IsConflict(err), apierrors.IsNotFound(err):
		return nil // it lives, or its Lease is gone: the watch shows it
	case err != nil:
		return fmt.Errorf("kill member %s: %w", lease.Name, err)
	}
	r.log.Warn("member killed", zap.String("incarnation", incarnation), zap.String("member", lease.Name))
	r.hooks.Killed()
	r.seeMember(dead)
	return nil
}
