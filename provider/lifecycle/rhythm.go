package lifecycle

import "time"

// rhythm notices that a heartbeat came out of time: a new process of the base begins anew. It
// is for tunnels over which nothing else tells of one; of eight new processes one is missed,
// because it begins in time. The zero value has heard nothing.
type rhythm struct {
	last time.Time
	gap  time.Duration // between the last two; zero where there were no two
}

// rhythmSlack is which part of a pause between heartbeats it may be longer or shorter than
// the one before.
const rhythmSlack = 16

// breaks takes in when a heartbeat came, and says whether that is out of time.
func (r *rhythm) breaks(at time.Time) bool {
	was, last := r.gap, r.last
	r.last = at
	if last.IsZero() {
		return false
	}
	r.gap = at.Sub(last)
	if was == 0 {
		return false
	}
	return (r.gap - was).Abs() > was/rhythmSlack
}
