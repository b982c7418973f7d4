package provider

import "time"

// order tells messages of one kind from a base that come late, or once more, by the
// base's own clock. Such a list says what was installed once, and would have modules
// installed again; such a health looks like a restart, and such a heartbeat names an
// address, or an application, of before.
type order struct {
	newest time.Time // by the base's clock
	came   time.Time // by ours
}

// clockSetBack is how long nothing newer must have come until a message with an older
// stamp is believed again: then the base's clock was set back.
const clockSetBack = time.Minute

// late says whether a message that was received is older than the newest, or the newest
// once more. One without a stamp is taken as it comes: over HTTP each is sent once.
func (o *order) late(stamp, received time.Time) bool {
	if stamp.IsZero() {
		return false
	}
	if !stamp.After(o.newest) && received.Sub(o.came) < clockSetBack {
		return true
	}
	o.newest, o.came = stamp, received
	return false
}
