package election

import (
	"time"

	"go.uber.org/zap"

	"module-controller/shard"
)

// tellRenewals says how often bases' Leases are renewed, and why not less often.
func (r *Replica) tellRenewals() {
	c := r.cfg
	r.log.Info("leases of bases are renewed as seldom as a failover permits",
		zap.Duration("interval", c.Renew), zap.String("boundBy", c.boundBy()), zap.Duration("slack", c.slack()),
		zap.Duration("grace", c.Grace), zap.Duration("failureTimeout", c.FailureTimeout), zap.Int("basesPerReplica", c.Bases), zap.Duration("leaseDuration", c.Duration))
}

// tellInterval says that Leases are renewed at another interval than at the last look, and
// gives it.
func (r *Replica) tellInterval(was time.Duration) (is time.Duration) {
	r.mu.Lock()
	is = r.state.RenewEvery()
	r.mu.Unlock()
	if is != was {
		r.log.Warn("leases of bases are renewed at another interval: members differ in MEMBER_LEASE_DURATION",
			zap.Duration("was", was), zap.Duration("interval", is))
	}
	return is
}

// behind is how late a renewal is when it is told. A failover that begins then may not fit
// into a Node's grace: what it keeps free for that is used up.
const behind = shard.Behind

// tellBehind warns of renewals that are late, once in a while, and says what may help. It
// gives when that was told last.
func (r *Replica) tellBehind(told time.Time, overdue time.Duration, workers int) time.Time {
	now := time.Now()
	if overdue <= behind || now.Sub(told) < toldEvery {
		return told
	}
	health := r.Health()
	r.log.Warn("leases fall behind: nodes turn NotReady when theirs is older than the node grace",
		zap.Duration("behind", overdue), zap.Duration("oldest", health.OldestLease), zap.Duration("grace", r.cfg.Grace), zap.Int("workers", workers),
		zap.String("remedy", r.remedy(now, workers)))
	return now
}

// tellNewWait warns that new bases wait, at once and then once in a while, and says when they
// do no more. It gives when it was told last that they wait; zero while they do not.
func (r *Replica) tellNewWait(told time.Time, overdue time.Duration, workers int) time.Time {
	now := time.Now()
	switch waits := r.NewWait(); {
	case !waits && told.IsZero():
	case !waits:
		r.log.Info("new bases come in again: renewals have caught up", zap.Duration("behind", overdue))
		return time.Time{}
	case now.Sub(told) >= toldEvery:
		r.log.Warn("new bases wait: each would push late renewals out further",
			zap.Duration("behind", overdue), zap.Int("workers", workers), zap.String("remedy", r.remedy(now, workers)))
		return now
	}
	return told
}

// remedy says what helps against renewals that are late, by what holds them up. Who may not
// write need not be slow, and more workers do not help where answers are.
func (r *Replica) remedy(now time.Time, workers int) string {
	r.mu.Lock()
	valid, slow := r.state.Valid(now), r.patience.slow()
	r.mu.Unlock()
	switch {
	case !valid:
		return "this replica's own Lease is not renewed, so it may write nothing: see whether it reaches the API server"
	case r.brake.engaged():
		return "the API server refuses all of them: see the rights of this program and the FlowSchema of its Leases"
	case slow:
		return "requests take seconds or are not answered: give the API server and etcd more room, or raise KUBE_API_QPS"
	case workers >= r.cfg.mostWorkers():
		return "too few are written at a time: run more replicas, or raise LEASE_WORKERS"
	}
	return "there are too many bases for this replica: run more of them, or give it more CPU"
}
