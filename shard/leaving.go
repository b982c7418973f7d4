package shard

import "time"

// Several members often end at once, as those do that a StatefulSet has too many. Who gives
// its bases away before it knows that another ends too may give them to that one, who gives
// them away again. Nobody can take back what he gave: its holder may act by then. So who
// leaves waits, and serves meanwhile, until each that it may give something to was seen to
// renew after it had said itself that it leaves, and did not say the same.

// LeavingApart is how much later than ours the end of another may begin that ends together
// with us, for its renewals before that to prove nothing.
const LeavingApart = 500 * time.Millisecond

// leavingRetry is how often to ask whether the others have renewed.
const leavingRetry = 50 * time.Millisecond

// leaving is how far a member that drains is with knowing who else does.
type leaving struct {
	since time.Time // zero while it does not drain
	until time.Time // it waits until then at most: it may see nothing any more
	told  uint64    // the revision of its first renewal that was sent LeavingApart later or more; 0 before
	knows bool      // who may be given bases has renewed since
}

// leave begins to wait, a fifth of the time that there is at most. Who lives renews within
// RenewDeadline.
func (s *Membership) leave(now, by time.Time) {
	s.leaving = leaving{since: now, until: now.Add(min(s.RenewDeadline, by.Sub(now)/5))}
}

// renewed takes in a renewal of our own that was sent at a time, and its revision.
func (l *leaving) renewed(sent time.Time, revision uint64) {
	switch {
	case l.since.IsZero(), l.told != 0, sent.Before(l.since.Add(LeavingApart)):
		return
	}
	l.told = revision
}

// untilLeaversAreKnown is how long who drains gives nothing away; 0 where nobody is to be
// given anything.
func (s *Membership) untilLeaversAreKnown(now time.Time) time.Duration {
	switch {
	case s.leaving.knows:
		return 0
	case now.Before(s.leaving.until) && !s.othersRenewed():
		return leavingRetry
	}
	s.leaving.knows = true
	return 0
}

// othersRenewed says whether each that may be given bases of ours has renewed since we told
// that we leave. Revisions tell that, whatever a watch delays.
func (s *Membership) othersRenewed() bool {
	self := s.members[s.Name]
	if self == nil {
		return true
	}
	for _, name := range s.team.beside(&self.Member) {
		switch {
		case name == s.Name:
		case s.leaving.told == 0, s.members[name].Revision <= s.leaving.told:
			return false
		}
	}
	return true
}
