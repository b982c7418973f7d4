package shard

import (
	"maps"
	"slices"
	"time"
)

// Census counts what a replica holds and should hold.
type Census struct {
	// Held are the bases that it holds, Wanted those that it should hold, Away those
	// that it holds and that should be another's.
	Held, Wanted, Away int
	// Members are the replicas that live.
	Members int
}

// Count counts.
func (s *State) Count(now time.Time) (c Census) {
	s.rewish(now)
	for key, b := range s.bases {
		wanted := s.wanted(key, now)
		switch {
		case b.held && wanted != s.Name:
			c.Away++
			c.Held++
		case b.held:
			c.Held++
		}
		if wanted == s.Name {
			c.Wanted++
		}
	}
	for _, m := range s.members {
		if m.Holder != "" {
			c.Members++
		}
	}
	return c
}

// Shifted gives the bases that are held and should be another member's than when they
// were looked at last: the assignment shifts as bases come and go.
func (s *State) Shifted(now time.Time) (keys []string) {
	for key, b := range s.bases {
		if b.held && b.planned != s.wanted(key, now) {
			keys = append(keys, key)
		}
	}
	return keys
}

// Owner gives the member that a base's heartbeat should be passed on to: the one
// that holds it, or that should where nobody does.
func (s *State) Owner(key string, now time.Time) (Member, bool) {
	name := s.wanted(key, now)
	if b := s.bases[key]; b != nil && b.lease != nil {
		if pod, ok := PodOf(b.lease.Holder); ok && s.members[pod] != nil && s.members[pod].Holder == b.lease.Holder {
			name = pod
		}
	}
	m := s.members[name]
	if m == nil || m.Holder == "" {
		return Member{}, false
	}
	return m.Member, true
}

// rewishEvery bounds how often the assignment is worked out while bases come and
// go. Until then a new base is requested for by its first choice.
const rewishEvery = 200 * time.Millisecond

func (s *State) rewish(now time.Time) {
	if s.stale && (now.Sub(s.wishedAt) >= rewishEvery || !s.teamSince.Before(s.wishedAt)) {
		s.wish = Assign(slices.Collect(maps.Keys(s.bases)), s.team)
		if s.draining {
			s.home = Assign(slices.Collect(maps.Keys(s.bases)), append(slices.Clone(s.team), s.Name))
		}
		s.wishedAt, s.stale = now, false
	}
}

// wanted is the member that should own a base; "" for nobody.
func (s *State) wanted(key string, now time.Time) string {
	s.rewish(now)
	if name, ok := s.wish[key]; ok {
		return name
	}
	return First(key, s.team)
}
