package shard

import "time"

// A new base costs a Lease, a Node, and a place among the renewals from then on. While
// renewals are behind it would push them out further, until Nodes of others turn NotReady.
// So it waits. What has a Node or a Lease is claimed and handed over as ever, for that keeps
// its Node Ready.

const (
	// Behind is how late a renewal is when new bases begin to wait: what a failover keeps free
	// is used up.
	Behind = reserve
	// caughtUp is how late renewals are at most when new bases come in again. It is less than
	// Behind, or they would come in and wait by turns.
	caughtUp = 2 * time.Second
	// newRetry is how often to ask whether a new base may come in.
	newRetry = 2 * time.Second
)

// newcomers says whether new bases wait.
type newcomers struct{ wait bool }

// review takes in how late that renewal is that is due for longest.
func (n *newcomers) review(overdue time.Duration) {
	switch {
	case overdue > Behind:
		n.wait = true
	case overdue <= caughtUp:
		n.wait = false
	}
}

// Review takes in how late that renewal of our bases' Leases is that is due for longest.
func (s *State) Review(overdue time.Duration) { s.newcomers.review(overdue) }

// NewWait says whether bases wait that have neither a Lease nor a Node.
func (s *State) NewWait() bool { return s.newcomers.wait }

// IsNew says whether a base is asked for that has neither a Lease nor a Node.
func (s *State) IsNew(key string) bool {
	b := s.bases[key]
	return b != nil && b.isNew()
}

func (b *base) isNew() bool {
	switch {
	case b.lease != nil, b.phase > Unowned:
		return false
	}
	return b.requested && !b.exists
}

// untilNew is after how long to ask again whether a base may come in; 0 where it may.
func (s *State) untilNew(b *base) time.Duration {
	if s.newcomers.wait && b.isNew() {
		return newRetry
	}
	return 0
}
