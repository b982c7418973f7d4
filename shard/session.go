package shard

import "time"

// Session is what our own membership writes permit. Its times are by our own monotonic
// clock.
type Session struct {
	deadline   time.Time // we may act before it; zero before the first write and after Expire
	actsSince  time.Time // we may act since then without a break
	joined     time.Time // the first write succeeded
	clearSince time.Time // writes succeed since then without a break
	broken     bool      // the last write failed; the next success begins a new clearSince
	answers    answers   // to our writes
}

// Valid says whether this replica may act at all.
func (s *Session) Valid(now time.Time) bool { return now.Before(s.deadline) }

// Until is when this replica's right to act ends, unless another write succeeds before.
func (s *Session) Until() time.Time { return s.deadline }

// Interrupted takes in that a membership write failed.
func (s *Session) Interrupted() { s.broken = true }

// Expire invalidates all claims of this session.
func (s *Session) Expire() { s.deadline = time.Time{} }

// Renewed takes in that a membership write succeeded that was sent at a time and announced
// a window, and that was seen. Again says that the replica may act, which it could not before.
//
// The deadline counts from when the write was sent: the others saw it at that moment
// at the earliest, whenever the answer came.
func (s *Membership) Renewed(sent, now time.Time, window time.Duration) (again bool) {
	could := s.Valid(now)
	s.deadline = sent.Add(window)
	s.answers.add(now.Sub(sent))
	if !could {
		s.actsSince = now
	}
	if s.joined.IsZero() {
		s.joined, s.clearSince = now, now
	}
	if s.broken {
		s.broken, s.clearSince = false, now
	}
	if self := s.members[s.Name]; self != nil {
		s.leaving.renewed(sent, self.Revision)
	}
	return !could && s.Valid(now)
}

// unchanged is since when something is as it is that is as it was seen since a time.
// Time in which our own writes failed does not count: the API may have been away for
// all.
func (s *Session) unchanged(since time.Time) time.Time { return later(since, s.clearSince) }
