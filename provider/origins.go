package provider

import (
	"fmt"
	"time"

	"module-controller/tunnel"
)

// origin is what tells one base's process from another's that has its identity.
type origin struct {
	ip, hostname, name, cluster, version string
	port                                 int
}

func originOf(h tunnel.Heartbeat) origin {
	return origin{h.IP, h.Hostname, h.Name, h.Cluster, h.Version, h.Port}
}

// same says whether two origins are one base. Over MQTT it tells no port.
func (o origin) same(other origin) bool {
	if o.port == 0 || other.port == 0 {
		o.port, other.port = 0, 0
	}
	return o == other
}

// origins watches from where heartbeats with one identity come. One origin that
// gives way to another is a base that moved; two that alternate are two live
// bases.
type origins struct {
	current, previous origin
	currentAt         time.Time
	previousAt        time.Time
	returns           int       // how often a previous origin came back
	contested         time.Time // the last such return
}

// returnsOfTwo is how many returns of a previous origin prove two live bases: one
// or two may be a message that came late.
const returnsOfTwo = 3

// hear records a heartbeat and says whether the origin changed.
func (o *origins) hear(h tunnel.Heartbeat) bool {
	from := originOf(h)
	if o.currentAt.IsZero() || from.same(o.current) {
		changed := o.currentAt.IsZero()
		o.current, o.currentAt = from, h.Received
		return changed
	}
	if from.same(o.previous) {
		o.returns++
		o.contested = h.Received
	} else {
		o.returns = 0
	}
	o.previous, o.previousAt = o.current, o.currentAt
	o.current, o.currentAt = from, h.Received
	return true
}

// conflict explains that two live bases share the identity, and until when that
// is held for true if no more is heard; empty when there is one.
func (o *origins) conflict(now time.Time, within time.Duration) (string, time.Time) {
	until := o.contested.Add(within)
	if o.returns < returnsOfTwo || !now.Before(until) {
		return "", time.Time{}
	}
	return fmt.Sprintf("Two live bases have this identity: %s %s at %s (%s) and %s %s at %s (%s). Give each its own, or stop one",
		o.current.name, o.current.version, o.current.ip, o.current.hostname,
		o.previous.name, o.previous.version, o.previous.ip, o.previous.hostname), until
}
