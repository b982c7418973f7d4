package lifecycle

import (
	"time"

	"module-controller/tunnel"
)

// Contest is what is heard of others in the name of a base. It is as small for a thousand
// of them as for one, and no number of them hides another.
type Contest struct {
	// Contender is who would take the base over; its Base is empty for none. The first
	// stays while it is heard, so that a flood of others does not displace it, unless one
	// comes that ranks higher.
	Contender tunnel.Heartbeat
	// Since is when Contender was first heard.
	Since time.Time
	// shared: a contender was heard on the incumbent's own topics since the incumbent was.
	shared bool
	// foreign is when one of another application was heard last that gets what is sent to
	// the incumbent; zero for not since the incumbent was.
	foreign time.Time
	// returns are when the incumbent was last heard after such a contender, the oldest
	// first.
	returns [returnsOfTwo]time.Time
	woke    time.Time
}

const (
	// returnsOfTwo is how many returns of the incumbent prove two live bases: one or two
	// may be messages that came late.
	returnsOfTwo = 3
	// wakePause is how often contenders may wake a worker, however many there are.
	wakePause = 2 * time.Second
	// threeBeats is how long a base takes for three heartbeats.
	threeBeats = 36 * time.Second
)

// contend records a contender's heartbeat, and says whether the base is to be reconciled. One
// that was not heard within the time given is forgotten for the next.
func (c *Contest) contend(i Incumbent, h tunnel.Heartbeat, within time.Duration) (wake bool) {
	c.meet(i, h)
	switch {
	case c.waiting(h.Received, within) && incumbentOf(c.Contender).Is(h):
		c.Contender = h
	case !c.waiting(h.Received, within), i.rank(h) > i.rank(c.Contender):
		c.Contender, c.Since = h, h.Received
	}
	if h.Received.Sub(c.woke) < wakePause {
		return false
	}
	c.woke = h.Received
	return true
}

// meet records a contender where the incumbent is: on its own topics, where both may live,
// or at its own endpoint, where one process took the other's place.
//
// NB: where nothing is proved of anybody a liar can say so of a live base.
func (c *Contest) meet(i Incumbent, h tunnel.Heartbeat) {
	if i.shares(h) {
		c.shared = true
	}
	if i.reaches(h) && i.application() != application(h) {
		c.foreign = h.Received
	}
}

// returned records that the incumbent was heard.
func (c *Contest) returned(at time.Time) {
	c.foreign = time.Time{}
	if !c.shared {
		return
	}
	c.shared = false
	copy(c.returns[:], c.returns[1:])
	c.returns[returnsOfTwo-1] = at
}

// waiting says whether there is a contender that was heard within the time given, or within
// threeBeats where that is less: else it would be forgotten between its heartbeats.
func (c *Contest) waiting(now time.Time, within time.Duration) bool {
	return c.Contender.Tunnel != "" && now.Sub(c.Contender.Received) < max(within, threeBeats)
}

// repeated says that the contender was heard more than once.
func (c *Contest) repeated() bool { return c.Contender.Received.After(c.Since) }

// ambiguous says that another application listens where the incumbent does, and that the
// incumbent was not heard since: what is sent may reach that one, and what comes may be
// its word.
func (c *Contest) ambiguous(now time.Time, within time.Duration) bool {
	return !c.foreign.IsZero() && now.Sub(c.foreign) < within
}

// conflict is until when it is held for true that two live bases take turns on the same
// topics; zero where they do not. It does not depend on how many take turns with the
// incumbent: each time it is heard after any of them counts.
func (c *Contest) conflict(now time.Time, within time.Duration) time.Time {
	for i, at := range c.returns {
		if at.IsZero() {
			return time.Time{}
		}
		if i > 0 && at.Sub(c.returns[i-1]) > within {
			return time.Time{}
		}
	}
	until := c.returns[returnsOfTwo-1].Add(within)
	if !now.Before(until) {
		return time.Time{}
	}
	return until
}
