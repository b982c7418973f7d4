package election

import (
	"cmp"
	"context"
	"sync"
	"time"
)

const (
	// mostWorkers is how many times Workers write Leases at most, while they fall behind.
	mostWorkers = 4
	// late is how long a renewal may be due before more workers are called.
	late = 2 * time.Second
	// hastyTimeout bounds a request for a base's Lease while others are late, unless the
	// API server is slow for all. A stuck one holds a worker.
	hastyTimeout = time.Second
)

// Health is what may be wrong with how a Replica keeps its Leases.
type Health struct {
	// OldestLease is how long ago the Lease changed of that of its bases that was renewed
	// longest ago. A Node turns NotReady at Config.Grace.
	OldestLease time.Duration
	// Behind is how long that renewal of its bases' Leases is due that is due for longest.
	Behind time.Duration
	// RenewEvery is how often bases' Leases are renewed. It is shorter than Timing.Renew
	// where a member needs it.
	RenewEvery time.Duration
	// Workers is how many Leases of bases are written at a time.
	Workers int
	// RenewDeadline is how long a renewal lets it act. It is longer than Timing's while
	// the API server is slow.
	RenewDeadline time.Duration
	// NewWait says that bases which have neither a Lease nor a Node wait, because renewals are
	// behind.
	NewWait bool
	// Stalled says that its watch of bases shows nothing, Refused that the API server
	// refuses all its requests for bases' Leases.
	Stalled, Refused bool
	// MembersLag and BasesLag are how far behind its watches of membership Leases and of bases'
	// Leases are: see package watchlag.
	MembersLag, BasesLag time.Duration
}

// Health gives how the Leases are kept now.
func (r *Replica) Health() Health {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	oldest, overdue := r.state.Oldest(now)
	return Health{
		OldestLease: oldest, Behind: overdue, NewWait: r.state.NewWait(), RenewEvery: r.state.RenewEvery(), Workers: r.workers, RenewDeadline: r.state.Window(now),
		Stalled: r.self.blind, Refused: r.brake.engaged(), MembersLag: r.memberLag.At(now), BasesLag: r.baseLag.At(now),
	}
}

// employ keeps as many workers as are needed for no renewal to be late, until ctx ends. What
// is late all the same it tells.
func (r *Replica) employ(ctx context.Context) {
	defer r.pulse.ends(loopBases) // after the last worker, which beats too
	var workers sync.WaitGroup
	defer workers.Wait()
	defer r.queue.ShutDown()
	every, told, toldNew := r.cfg.Renew, time.Time{}, time.Time{}
	for wanted := r.cfg.Workers; ; {
		if r.queue.Len() == 0 { // nothing waits for a worker
			r.pulse.beat(loopBases)
		}
		for r.hire(wanted) {
			workers.Go(func() {
				for r.work(ctx) && !r.dismissed() {
				}
			})
		}
		if !pause(ctx, time.Second) {
			return
		}
		overdue := r.review()
		wanted = r.staff(wanted, overdue)
		told = r.tellBehind(told, overdue, wanted)
		toldNew = r.tellNewWait(toldNew, overdue, wanted)
		every = r.tellInterval(every)
	}
}

// review looks how late renewals are, and works out by that whether new bases wait, and for
// how long requests are waited for.
func (r *Replica) review() (overdue time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	_, overdue = r.state.Oldest(time.Now())
	r.state.Review(overdue)
	r.patience.review(overdue > late)
	return overdue
}

// staff is how many workers there should be, after so many, while a renewal is overdue. More
// are called for new bases too: they come after all renewals, so nothing is late for them.
func (r *Replica) staff(workers int, overdue time.Duration) int {
	crowd := r.lanes.crowds(workers)
	switch {
	case r.brake.engaged():
		return workers
	case overdue > late, crowd:
		return min(2*workers, r.cfg.mostWorkers())
	}
	return max(workers-1, r.cfg.Workers)
}

// mostWorkers is how many Leases are written at a time at most.
func (c Config) mostWorkers() int { return mostWorkers * c.Workers }

// hire says whether one more worker is to begin.
func (r *Replica) hire(wanted int) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.wanted = wanted
	if r.workers >= wanted {
		return false
	}
	r.workers++
	return true
}

// dismissed says whether the worker that asks is to end.
func (r *Replica) dismissed() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.workers <= r.wanted {
		return false
	}
	r.workers--
	return true
}

// patience is for how long requests for bases' Leases are waited for, and what it follows
// from. The replica's mu guards it.
type patience struct {
	timeout              time.Duration // of a request
	slowest              time.Duration // answer of late; what is old counts less
	answered, unanswered int           // of late
}

// took takes in that a request was answered after a time, or was not.
func (p *patience) took(d time.Duration, answered bool) {
	if !answered {
		p.unanswered++
		return
	}
	p.answered++
	p.slowest = max(p.slowest, d)
}

// slow says whether answers take long, or are missing.
func (p *patience) slow() bool { return p.slowest >= hastyTimeout || p.unanswered > p.answered }

// review works out the timeout anew. A stuck request holds a worker, so it ends early while
// renewals are late. But where most answers are missing they may be slow, all of them, and
// it is waited for them.
func (p *patience) review(late bool) {
	p.timeout = baseTimeout
	if late && p.answered > p.unanswered {
		p.timeout = min(baseTimeout, max(hastyTimeout, 2*p.slowest))
	}
	p.slowest, p.answered, p.unanswered = p.slowest*9/10, p.answered/2, p.unanswered/2
}

// baseRequest bounds a request for a base's Lease. What became of it is to be told.
func (r *Replica) baseRequest(ctx context.Context) (limited context.Context, answered func(error)) {
	r.mu.Lock()
	limited, cancel := context.WithTimeout(ctx, cmp.Or(r.patience.timeout, baseTimeout))
	r.mu.Unlock()
	began := time.Now()
	return limited, func(err error) {
		now := time.Now()
		r.brake.answered(err, now)
		r.mu.Lock()
		r.patience.took(now.Sub(began), limited.Err() == nil)
		r.mu.Unlock()
		cancel()
	}
}
