package lifecycle

import (
	"fmt"
	"time"

	"module-controller/tunnel"
)

// origin tells one base's process from another's that has its identity.
type origin struct {
	ip, hostname, name, cluster, version string
	port                                 int // 0 where the tunnel does not tell it (MQTT)
}

func originOf(h tunnel.Heartbeat) origin {
	return origin{h.IP, h.Hostname, h.Name, h.Cluster, h.Version, h.Port}
}

// same says whether two origins are one process. A port that is unknown matches any.
func (o origin) same(other origin) bool {
	if o.port*other.port == 0 {
		o.port, other.port = 0, 0
	}
	return o == other
}

// Origins watches where heartbeats with one identity come from. One origin that gives
// way to another is a base that moved; two that alternate are two live bases.
type Origins struct {
	current, previous origin
	currentAt         time.Time // when current was last heard; zero before the first heartbeat
	returns           int       // how often in a row a previous origin came back
	contested         time.Time // the last such return
}

// returnsOfTwo is how many returns of a previous origin prove two live bases: one or two
// may be messages that came late.
const returnsOfTwo = 3

// Observe records a heartbeat and says whether the origin changed.
func (o *Origins) Observe(h tunnel.Heartbeat) bool {
	from, was := originOf(h), *o
	o.current, o.currentAt = from, h.Received
	switch {
	case was.currentAt.IsZero():
		return true
	case from.same(was.current):
		return false
	case from.same(was.previous):
		o.returns++
		o.contested = h.Received
	default: // a third one: the count begins anew
		o.returns = 0
	}
	o.previous = was.current
	return true
}

// Empty says whether no heartbeat was observed.
func (o *Origins) Empty() bool { return o.currentAt.IsZero() }

// Conflict explains that two live bases share the identity, and until when that is held
// for true if no more is heard. It gives an empty text where there is one base.
func (o *Origins) Conflict(now time.Time, within time.Duration) (string, time.Time) {
	until := o.contested.Add(within)
	if o.returns < returnsOfTwo {
		return "", time.Time{}
	}
	if !now.Before(until) {
		return "", time.Time{}
	}
	return fmt.Sprintf("Two live bases have this identity: %s %s at %s (%s) and %s %s at %s (%s). Give each its own, or stop one",
		o.current.name, o.current.version, o.current.ip, o.current.hostname,
		o.previous.name, o.previous.version, o.previous.ip, o.previous.hostname), until
}
