package shard

import (
	"maps"
	"slices"
	"time"
)

// assignment is who should own which base, as this replica sees bases and members. It
// gives no right: others may see otherwise.
type assignment struct {
	to map[string]string // by base; valid unless stale
	// preferred is, while we drain, the assignment as it is with us: a base that was
	// not ours by it goes to its preferred owner, which is the same when we are back.
	preferred map[string]string
	at        time.Time // it was worked out then
	team      int       // for the team of that generation
	stale     bool      // bases came or went since, or we began to drain
}

// reassignEvery bounds how often the assignment is worked out while bases come and
// go. Until then a new base is assigned to its first choice.
const reassignEvery = 200 * time.Millisecond

// due says whether the assignment is to be worked out anew. A change of the team waits
// for nothing: bases of who is gone are unserved.
func (a *assignment) due(t team, now time.Time) bool {
	if a.team == t.generation && !a.stale {
		return false
	}
	return now.Sub(a.at) >= reassignEvery || !t.since.Before(a.at)
}

func (s *State) reassign(now time.Time) {
	a := &s.assigned
	if !a.due(s.team, now) {
		return
	}
	a.to = s.assign()
	if s.draining {
		a.preferred = s.assign(s.Name)
	}
	a.at, a.team, a.stale = now, s.team.generation, false
}

// assign assigns all bases, each environment's for itself: members that serve different
// ones know different bases, and are to come to the same. With are members beside the
// team.
func (s *State) assign(with ...string) map[string]string {
	keys := map[string][]string{}
	for key, b := range s.bases {
		keys[b.env] = append(keys[b.env], key)
	}
	to := make(map[string]string, len(s.bases))
	for env, keys := range keys {
		maps.Copy(to, Assign(keys, slices.Concat(s.team.serving(env), with)))
	}
	return to
}

// assignee is the member that should own a base; "" for nobody.
func (s *State) assignee(key string, now time.Time) string {
	s.reassign(now)
	if name, ok := s.assigned.to[key]; ok {
		return name
	}
	return First(key, s.team.serving(s.envOf(key)))
}

// Shifted gives the bases that are ours and assigned to another member than at their
// last turn: the assignment shifts as bases come and go.
func (s *State) Shifted(now time.Time) (keys []string) {
	for key, b := range s.bases {
		if b.phase > Unowned && b.placement.planned != s.assignee(key, now) {
			keys = append(keys, key)
		}
	}
	return keys
}

// ForwardTo gives the member that a base's heartbeat should be forwarded to: the one
// that owns it, or that should where nobody does. Ok is false where nobody is known.
func (s *State) ForwardTo(key string, now time.Time) (m Member, ok bool) {
	if b := s.bases[key]; b != nil && b.lease != nil {
		if owner := s.members.of(b.lease.Holder); owner != nil {
			return owner.Member, true
		}
	}
	if m := s.members[s.assignee(key, now)]; m != nil && m.Holder != "" {
		return m.Member, true
	}
	return Member{}, false
}

// Orphans counts, by environment, the bases of ours that no other member serves.
func (s *State) Orphans() map[string]int {
	orphans := map[string]int{}
	for _, key := range s.Owned() {
		orphans[s.bases[key].env]++
	}
	maps.DeleteFunc(orphans, func(env string, _ int) bool { return s.members.othersServe(s.Name, env) })
	return orphans
}

// Census counts what a replica owns and should own.
type Census struct {
	// Owned are the bases whose Lease is ours, Assigned those that should be,
	// Misplaced those that are and should not be.
	Owned, Assigned, Misplaced int
	// Foreign are the bases that another controller or installation holds. They are not
	// assigned to anybody here.
	Foreign int
	// Members are the replicas that live.
	Members int
}

// Count counts.
func (s *State) Count(now time.Time) (c Census) {
	for key, b := range s.bases {
		if b.foreign(s) {
			c.Foreign++
			continue
		}
		assigned, owned := s.assignee(key, now) == s.Name, b.phase > Unowned
		if assigned {
			c.Assigned++
		}
		if owned {
			c.Owned++
		}
		if owned && !assigned {
			c.Misplaced++
		}
	}
	c.Members = s.members.live()
	return c
}
