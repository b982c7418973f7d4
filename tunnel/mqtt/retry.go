package mqtttunnel

import (
	"slices"
	"time"
)

const (
	// After a connection is lost, the next one is tried after a random time up to
	// backOffBase, doubled with each failure up to backOffMax.
	backOffBase = 500 * time.Millisecond
	backOffMax  = 15 * time.Second
	// A connection that lasts this long resets the back-off.
	goodSession = 30 * time.Second
	// So many that ended sooner in contestWindow may have been taken away by another
	// client with our id.
	contested     = 3
	contestWindow = time.Minute
)

// retry is the back-off between connections.
type retry struct {
	ceiling time.Duration // of the next pause
	short   []time.Time   // when connections shorter than goodSession ended, in contestWindow
}

// ended takes in the end of a connection, or that there was none. It gives the longest
// pause before the next, and whether another client seems to use our id.
func (r *retry) ended(connected bool, lasted time.Duration, now time.Time) (pause time.Duration, taken bool) {
	if connected && lasted >= goodSession {
		*r = retry{ceiling: backOffBase}
	}
	pause = r.ceiling
	r.ceiling = min(2*r.ceiling, backOffMax)
	r.short = slices.DeleteFunc(r.short, func(at time.Time) bool { return now.Sub(at) > contestWindow })
	if !connected || lasted >= goodSession {
		return pause, false
	}
	if r.short = append(r.short, now); len(r.short) < contested {
		return pause, false
	}
	r.short = nil // it is told again after so many more
	return pause, true
}
