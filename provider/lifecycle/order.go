package lifecycle

import "time"

// order detects messages of one kind that arrive late or twice, by the base's own clock.
// A late module list would have modules installed again, a late health looks like a
// restart, and a late heartbeat names an address, or an application, of before.
type order struct {
	newest   time.Time // stamp of the newest message, by the base's clock
	received time.Time // when that came, by ours
}

// clockSetBack is how long nothing newer must have come until a message with an older
// stamp is believed again: then the base's clock was set back.
const clockSetBack = time.Minute

// farAhead is how much later than ours a stamp may be to be believed. One message from the
// future would otherwise have all that follow it taken for late. A base whose clock is
// further ahead has its messages taken in the order in which they come.
const farAhead = 24 * time.Hour

// late says whether a message is older than the newest, or the newest once more. A zero
// stamp is never late: over HTTP each message arrives once and in order.
func (o *order) late(stamp, received time.Time) bool {
	if stamp.IsZero() {
		return false
	}
	if stamp.Sub(received) > farAhead {
		return false
	}
	if o.before(stamp) && received.Sub(o.received) < clockSetBack {
		return true
	}
	o.newest, o.received = stamp, received
	return false
}

func (o *order) before(stamp time.Time) bool { return !stamp.After(o.newest) }
