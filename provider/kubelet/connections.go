package kubelet

import (
	"net/netip"

	"go.uber.org/zap"

	"module-controller/internal/connlimit"
	"module-controller/internal/refusals"
)

const (
	// maxConnections bounds the connections to all ports.
	maxConnections = 512
	// maxStrangers bounds those of one address on which nobody was admitted yet: a sixteenth of
	// all. A stranger has some seconds to be admitted (see headerTimeout), and an API server
	// or a scraper, which comes from one address for all people, needs milliseconds, or the time
	// of a review: few of them are at it at a time.
	maxStrangers = 32
	// fewStrangers is that bound once half of all connections are open, so that a few addresses
	// together leave room too. A scraper of thousands of Nodes has one or two at a time.
	fewStrangers = 8
)

// limits are those of the connections to all ports. One counts for its address while nobody was
// admitted on it.
var limits = connlimit.Limits{All: maxConnections, Each: []connlimit.Step{{From: 0, Each: maxStrangers}, {From: maxConnections / 2, Each: fewStrangers}}}

// Why a connection is closed at once.
const (
	tooMany          = "too_many_connections"
	tooManyStrangers = "too_many_unadmitted_connections"
)

// newConnections makes what bounds the connections to all ports, and tells of each that is closed.
func newConnections(told *refusals.Log) *connlimit.Limiter {
	return connlimit.New(limits, func(from netip.Addr, why connlimit.Reason) {
		reason := tooMany
		if why == connlimit.TooManyOfOne {
			reason = tooManyStrangers
		}
		told.Tell("closing a connection to a VNode's kubelet API at once", reason, from.String(), zap.Stringer("from", from))
	})
}

// keeps says whether who asked keeps his connection after the answer: while half of all are
// free, and the API server, which has one at each port that it asked, while a quarter is.
func (s *Server) keeps(who asker) bool {
	open := s.connections.Open()
	if who.certified {
		return open < maxConnections*3/4
	}
	return open < maxConnections/2
}
