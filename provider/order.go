package provider

import (
	"time"

	"module-controller/tunnel"
)

// order tells messages of one kind from a base that come late, or once more, by the
// base's own clock. Such a list says what was installed once, and would have modules
// installed again; such a health looks like a restart.
type order struct {
	newest time.Time // by the base's clock
	came   time.Time // by ours
}

// clockSetBack is how long nothing newer must have come until a message with an older
// stamp is believed again: then the base's clock was set back.
const clockSetBack = time.Minute

// late says whether a message is older than the newest, or the newest once more. One
// without a stamp is taken as it comes: over HTTP it answers a request.
func (o *order) late(r tunnel.Report) bool {
	if r.Stamp.IsZero() {
		return false
	}
	if !r.Stamp.After(o.newest) && r.Received.Sub(o.came) < clockSetBack {
		return true
	}
	o.newest, o.came = r.Stamp, r.Received
	return false
}
