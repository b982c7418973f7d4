package shard

import (
	"slices"
	"time"
)

// A renewal lets a replica act until the next one was answered. Where answers take seconds
// that is longer than RenewDeadline: the replica says so in the renewal itself, and acts by
// it only once that was written, so who expires it knows for how long to wait.

const (
	// answersKept is how many answers are remembered, to tell slowness from a hiccup.
	answersKept = 8
	// renewApart is how much later than an answer the next renewal is sent at most, and
	// what is to spare.
	renewApart = 1500 * time.Millisecond
	// windowSpare is how much sooner a replica that is not heard any more ends by itself
	// than it is expired.
	windowSpare = 2 * time.Second
	// windowStep is what windows are rounded up to.
	windowStep = 100 * time.Millisecond
)

// answers is how long the last membership writes took to be answered, in a ring.
type answers struct {
	took [answersKept]time.Duration
	next int
}

func (a *answers) add(took time.Duration) {
	a.took[a.next] = took
	a.next = (a.next + 1) % answersKept
}

// slow is how long an answer is expected to take at most: the slowest but one, for one may
// be due to a pause of this process.
func (a *answers) slow() time.Duration {
	sorted := a.took
	slices.Sort(sorted[:])
	return sorted[answersKept-2]
}

// Slow is how long the API server takes to answer a membership write now, but for rare
// ones; 0 before there were any.
func (s *Session) Slow() time.Duration { return s.answers.slow() }

// Longest bounds what Window gives.
func (t Timing) Longest() time.Duration { return max(t.RenewDeadline, t.FailureTimeout-windowSpare) }

// Window is how long a membership write that is sent now is to let this replica act, as it
// is to be announced in it. No deadline moves back by it: claims that were given out hold.
func (s *Membership) Window(now time.Time) time.Duration {
	window := max(s.RenewDeadline, 2*s.Slow()+renewApart, s.deadline.Sub(now))
	return min(window+(-window%windowStep+windowStep)%windowStep, s.Longest())
}
