package shard

import (
	"maps"
	"slices"
	"time"
)

// assignment is when it was worked out who should own which base, as this replica sees bases
// and members. It gives no right: others may see otherwise. Each base's placement has what
// came of it.
type assignment struct {
	// order has the bases in the order in which they choose, by environment; nil while bases
	// have come or gone since.
	order map[string][]*base
	at    time.Time // it was worked out then
	team  int       // for the team of that generation
	stale bool      // bases came or went since, or we began to drain
}

// reassignEvery bounds how often the assignment is worked out while bases come and
// go. Until then a new base is assigned to its first choice.
const reassignEvery = 200 * time.Millisecond

// changed takes in that a base came or went.
func (a *assignment) changed() { a.order, a.stale = nil, true }

// due says whether the assignment is to be worked out anew. A change of the team waits
// for nothing: bases of who is gone are unserved.
func (a *assignment) due(t team, now time.Time) bool {
	if a.team == t.generation && !a.stale {
		return false
	}
	return now.Sub(a.at) >= reassignEvery || !t.since.Before(a.at)
}

// reassign works out anew whom all bases are assigned to, where that is due: each
// environment's for themselves, for members that serve different ones know different bases,
// and are to come to the same.
func (s *State) reassign(now time.Time) {
	a := &s.assigned
	if !a.due(s.team, now) {
		return
	}
	if a.order == nil {
		a.order = s.ordered()
	}
	for env, bases := range a.order {
		for _, b := range bases {
			b.placement.assigned, b.placement.chose = "", true
		}
		able := s.team.serving(env)
		choose(bases, able, (*base).hashed, func(b *base, member string) { b.placement.assigned = member })
		if s.draining {
			choose(bases, slices.Concat(able, []string{s.Name}), (*base).hashed, func(b *base, member string) { b.placement.preferred = member })
		}
	}
	a.at, a.team, a.stale = now, s.team.generation, false
}

// ordered gives the bases of each environment in the order of their hashes.
func (s *State) ordered() map[string][]*base {
	order := map[string][]*base{}
	for _, b := range s.bases {
		order[b.env] = append(order[b.env], b)
	}
	for _, bases := range order {
		slices.SortFunc(bases, func(a, b *base) int { return a.compare(b.named) })
	}
	return order
}

// assignee is the member that should own a base; "" for nobody.
func (s *State) assignee(key string, now time.Time) string {
	s.reassign(now)
	if b := s.bases[key]; b != nil {
		return s.chosen(b)
	}
	return First(key, s.team.serving(s.envOf(key)))
}

// chosen is the member that should own a base that is known: whom it is pinned to, or as it was
// worked out last. A pin moves its base and no other: nobody's share is another for it.
func (s *State) chosen(b *base) string {
	if to := s.pinned(b); to != "" {
		return to
	}
	if b.placement.chose {
		return b.placement.assigned
	}
	return First(b.name, s.team.serving(b.env))
}

// Concerned gives the bases that a change concerns, those whose Leases have not changed for
// longest first: where the team changed by one pass over all bases, for a session by what it
// holds. Every other base does at its next turn what it would have done.
func (s *State) Concerned(c Change, now time.Time) []string {
	held := s.holds[c.Session]
	all := slices.Collect(maps.Keys(held))
	if c.Team {
		s.reassign(now)
		for _, b := range s.bases {
			if _, has := held[b]; !has && s.concerned(b) {
				all = append(all, b)
			}
		}
	}
	return inOrder(all)
}

// concerned says whether a change of the team concerns a base: one of ours, unless it was to
// stay and is to stay, or one that nobody owns and that is ours to claim.
func (s *State) concerned(b *base) bool {
	assigned := s.chosen(b)
	switch {
	case b.phase == Unowned:
		return assigned == s.Name && (b.lease == nil || s.members.of(b.lease.Holder) == nil)
	case b.phase > Owned, s.draining:
		return true
	}
	return assigned != s.Name || b.placement.planned != s.Name
}

// Shifted gives the bases that are ours and assigned to another member than at their
// last turn: the assignment shifts as bases come and go.
func (s *State) Shifted(now time.Time) (keys []string) {
	s.reassign(now)
	for key, b := range s.bases {
		if b.phase > Unowned && b.placement.planned != s.chosen(b) {
			keys = append(keys, key)
		}
	}
	return keys
}

// ForwardTo gives the member that a base's heartbeat should be forwarded to: the one
// that owns it, or that should where nobody does. Ok is false where nobody is known.
func (s *State) ForwardTo(key string, now time.Time) (m Member, ok bool) {
	if owner := s.ownerOf(key); owner != nil {
		return owner.Member, true
	}
	if m := s.members[s.assignee(key, now)]; m != nil && m.Holder != "" {
		return m.Member, true
	}
	return Member{}, false
}

// Elsewhere says whether another member owns a base, as far as we know. Who should own it where
// nobody does, members do not agree on before all know the base.
func (s *State) Elsewhere(key string) bool {
	owner := s.ownerOf(key)
	if owner == nil {
		return false
	}
	return owner.Name != s.Name
}

// ownerOf gives the member that owns a base; nil for nobody who lives.
func (s *State) ownerOf(key string) *member {
	b := s.bases[key]
	if b == nil || b.lease == nil {
		return nil
	}
	return s.members.of(b.lease.Holder)
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
	s.reassign(now)
	for _, b := range s.bases {
		if b.foreign(s) {
			c.Foreign++
			continue
		}
		assigned, owned := s.chosen(b) == s.Name, b.phase > Unowned
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
