package election

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"go.uber.org/zap"
	coordinationv1 "k8s.io/api/coordination/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"module-controller/shard"
)

// No watch shows the renewals of others, so what is known of their Leases is as old as their
// ownership. Lists make up for that: of all at the start, of those of a member that is gone
// once it is, and of all once a minute, which finds what people edited, and what a watch
// left out.

const (
	// sweepEvery is how often all Leases are listed.
	sweepEvery = time.Minute
	// sweepLater is how often it is asked whether a sweep may begin that was put off because
	// renewals are late, and sweepLatest for how long it is put off at most.
	sweepLater  = 5 * time.Second
	sweepLatest = 5 * time.Minute
	// listRetry is how soon a list that failed is asked for again.
	listRetry = 500 * time.Millisecond
	// listTimeout bounds one list of all.
	listTimeout = 30 * time.Second
	// fromCache lists what the API server has in memory. It may be old, which a list says
	// itself, and costs etcd nothing.
	fromCache = "0"
)

// ended is a session that is over, and the bases that it was known to hold.
type ended struct {
	incarnation string
	bases       []string
}

// takeUp has the bases reconciled that a change of the members concerns. Those of a session
// that is over are listed first: claims of what is known of them would meet conflicts.
func (r *Replica) takeUp(change shard.Change, concerned []string) {
	if change.Session == "" {
		r.reconcile(concerned)
		return
	}
	r.mu.Lock()
	r.over = append(r.over, ended{change.Session, concerned})
	r.mu.Unlock()
	nudge(r.ends)
}

// listEnded lists the bases of members whose sessions are over, until ctx ends. Their bases
// are reconciled all the same where they cannot be listed.
func (r *Replica) listEnded(ctx context.Context) {
	var over []ended
	for {
		var again <-chan time.Time
		over = append(over, r.newlyEnded()...)
		err := r.listOf(ctx, over)
		r.reconcileEnded(over)
		switch {
		case err == nil:
			over = nil
		case ctx.Err() == nil:
			r.log.Info("leases of a member that is gone not listed, retrying", zap.Error(err))
			again = time.After(listRetry)
		}
		select {
		case <-r.ends:
		case <-again:
		case <-ctx.Done():
			return
		}
	}
}

// newlyEnded takes the sessions that are over and whose bases were not listed.
func (r *Replica) newlyEnded() (over []ended) {
	r.mu.Lock()
	defer r.mu.Unlock()
	over, r.over = r.over, nil
	return over
}

// reconcileEnded has the bases reconciled of sessions that are over, once, those first whose
// Leases are the oldest: a list may have shown which.
func (r *Replica) reconcileEnded(over []ended) {
	for i := range over {
		r.mu.Lock()
		keys := r.state.Of(over[i].bases)
		r.mu.Unlock()
		r.reconcile(keys)
		over[i].bases = nil
	}
}

// listOf lists the Leases that name the pods of sessions that are over. One that a session
// held, and whose label says otherwise, is read.
func (r *Replica) listOf(ctx context.Context, over []ended) error {
	var pods []string
	for _, e := range over {
		if pod, is := shard.PodOf(e.incarnation); is && !slices.Contains(pods, pod) {
			pods = append(pods, pod)
		}
	}
	if len(pods) == 0 {
		return nil
	}
	list, err := r.listBases(ctx, baseTimeout, metav1.ListOptions{LabelSelector: r.cfg.allBases() + "," + labelOwner + " in (" + strings.Join(pods, ",") + ")"})
	if err != nil {
		return err
	}
	r.takeInList(list)
	for _, e := range over {
		r.readUnlisted(list, func() []string { return r.state.HeldBy(e.incarnation) })
	}
	return nil
}

// readUnlisted has those of some bases read whose Leases a list of their owner's should have
// and does not. What gives them is called with mu held.
func (r *Replica) readUnlisted(list *coordinationv1.LeaseList, should func() []string) {
	listed, at := namesIn(list), revision(list.ResourceVersion)
	var unread []string
	r.mu.Lock()
	for _, key := range should() {
		known := r.bases[key]
		if _, is := listed[key]; is || known == nil || revision(known.ResourceVersion) > at {
			continue
		}
		if r.state.Left(key, 0) {
			unread = append(unread, key)
		}
	}
	r.mu.Unlock()
	r.reconcile(unread)
}

func namesIn(list *coordinationv1.LeaseList) map[string]struct{} {
	names := make(map[string]struct{}, len(list.Items))
	for i := range list.Items {
		names[list.Items[i].Name] = struct{}{}
	}
	return names
}

// listAll takes in the Leases of all bases, as often as it takes; false where ctx ends before.
func (r *Replica) listAll(ctx context.Context) bool {
	for ctx.Err() == nil {
		err := r.list(ctx, "") // as etcd has it: what is not there was not there when the watches began
		if err == nil {
			return true
		}
		r.log.Info("leases of bases not listed, retrying", zap.Error(err))
		pause(ctx, listRetry)
	}
	return false
}

// sweep lists the Leases of all bases once in a while, until ctx ends. It comes after
// renewals that are late.
func (r *Replica) sweep(ctx context.Context) {
	for pause(ctx, sweepEvery) {
		for waited := time.Duration(0); waited < sweepLatest && r.isLate(); waited += sweepLater {
			if !pause(ctx, sweepLater) {
				return
			}
		}
		if err := r.list(ctx, fromCache); err != nil && ctx.Err() == nil {
			r.log.Info("leases of bases not listed", zap.Error(err))
		}
	}
}

// isLate says whether a renewal of a base of ours is late.
func (r *Replica) isLate() bool {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	_, overdue := r.state.Oldest(now)
	return overdue > late
}

// list takes in the Leases of all bases, those too that are there no more.
func (r *Replica) list(ctx context.Context, version string) error {
	list, err := r.listBases(ctx, listTimeout, metav1.ListOptions{LabelSelector: r.cfg.allBases(), ResourceVersion: version})
	if err != nil {
		return err
	}
	r.takeInList(list)
	r.dropUnlisted(list)
	return nil
}

func (r *Replica) listBases(ctx context.Context, timeout time.Duration, o metav1.ListOptions) (*coordinationv1.LeaseList, error) {
	limited, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	list, err := r.baseClient.List(limited, o)
	if err != nil {
		return nil, fmt.Errorf("list leases of bases: %w", err)
	}
	return list, nil
}

// takeInList takes in the Leases of a list, seen at once. Whose was only renewed needs no turn:
// what waits for its holder to be silent asks again by itself.
func (r *Replica) takeInList(list *coordinationv1.LeaseList) {
	now := time.Now()
	for i := range list.Items {
		lease := &list.Items[i]
		lease.ManagedFields = nil
		r.mu.Lock()
		known := r.bases[lease.Name]
		r.mu.Unlock()
		if known != nil && revision(known.ResourceVersion) >= revision(lease.ResourceVersion) {
			continue
		}
		if r.keepBase(lease, now) && (known == nil || !sameHands(parse(known), parse(lease))) {
			r.queue.Add(lease.Name)
		}
	}
}

// sameHands says whether a Lease was at most renewed since it was seen.
func sameHands(was, is shard.Lease) bool {
	was.Revision, was.Renewed = is.Revision, is.Renewed
	return was == is
}

// dropUnlisted takes in which Leases a list of all has no more.
func (r *Replica) dropUnlisted(list *coordinationv1.LeaseList) {
	listed, at, now := namesIn(list), revision(list.ResourceVersion), time.Now()
	var changed []string
	r.mu.Lock()
	for key, lease := range r.bases {
		if _, is := listed[key]; is || revision(lease.ResourceVersion) > at || !r.cfg.lists(lease) {
			continue
		}
		gone, unread := r.state.Unlisted(key, at, now)
		if gone {
			delete(r.bases, key)
		}
		if gone || unread {
			changed = append(changed, key)
		}
	}
	r.mu.Unlock()
	r.reconcile(changed)
}

// lists says whether a list of all bases has a Lease. It does not have those of other
// controllers, which were read.
func (c Config) lists(l *coordinationv1.Lease) bool {
	return l.Labels[labelComponent] == componentBase && slices.Contains(c.Envs, l.Labels[labelEnv])
}
