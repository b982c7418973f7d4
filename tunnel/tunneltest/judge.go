package tunneltest

import (
	"slices"

	"module-controller/tunnel"
)

// judge checks what is true of all replicas and bases when a case is over.
func (s *fixture) judge() {
	senders := map[tunnel.BaseID]tunnel.Sender{}
	for n, r := range s.replicas {
		if r == nil {
			return // the kit could not be made
		}
		s.at(n).judgeReports()
		s.at(n).judgeHeartbeats(senders)
	}
	for _, b := range s.bases {
		s.judgeCommands(b)
	}
}

// judgeReports checks that a replica was told of the bases that it followed, while it did, and
// of no other. It tells the first fault.
func (s *fixture) judgeReports() {
	for n, r := range s.sink.Recorded().Reports {
		s.checkReport(r)
		if !s.Tunnel.follows(r.Base, n) {
			s.Errorf("replica %d was told of %s, which it does not follow: %+v", s.number, r.Base, r)
			return
		}
	}
}

// judgeHeartbeats checks that a replica heard of the bases that are there, that the tunnel says
// of each sender that it is bound, and the same whichever replica a heartbeat reached first. It
// tells the first fault.
func (s *fixture) judgeHeartbeats(senders map[tunnel.BaseID]tunnel.Sender) {
	for _, h := range s.sink.Recorded().Beats {
		if !slices.ContainsFunc(s.bases, func(b Base) bool { return b.ID() == h.Base }) {
			s.Errorf("replica %d heard of %q, which is no base", s.number, h.Base)
			return
		}
		first, known := senders[h.Base]
		if !known {
			first, senders[h.Base] = h.Sender, h.Sender
		}
		if !h.Sender.Bound || h.Sender != first {
			s.Errorf("a heartbeat of %s at replica %d is of the sender %+v, another of %+v", h.Base, s.number, h.Sender, first)
			return
		}
	}
}

// judgeCommands checks that a base got no command that no replica sent or that came twice, and
// that all replicas together were told no answer that it did not give or that came twice.
func (s *fixture) judgeCommands(b Base) {
	got := map[tunnel.ModuleKey]int{}
	for _, c := range b.Seen().Commands {
		got[c.Module]++
	}
	for m, n := range got {
		if sent := s.sent(b, m); n > sent {
			s.Errorf("%s got %d commands for %s, and %d were sent", b.ID(), n, m, sent)
		}
	}
	for m, n := range s.answered(b) {
		if n > got[m] {
			s.Errorf("%d answers of %s came for %s, and it got %d commands", n, b.ID(), m, got[m])
		}
	}
}

// sent is how many commands all replicas sent a base for a module.
func (s *fixture) sent(b Base, m tunnel.ModuleKey) (n int) {
	for _, r := range s.replicas {
		n += r.Tunnel.sends(sending{b.ID(), m})
	}
	return n
}

// answered is how many answers of a base all replicas were told, by module.
func (s *fixture) answered(b Base) map[tunnel.ModuleKey]int {
	counts := map[tunnel.ModuleKey]int{}
	for _, replica := range s.replicas {
		for _, r := range replica.sink.Recorded().Reports {
			if r.Base == b.ID() && r.Answer != nil {
				counts[r.Answer.Module]++
			}
		}
	}
	return counts
}
