package shard

import (
	"maps"
	"slices"
	"time"
)

// Requests are what people ask of a member, as its membership Lease says. They are wishes, as
// an assignment is: only who owns a base gives it away, by the handover that there is, and
// only to a member that can have it.
type Requests struct {
	// Obeys says that the member knows requests, which earlier versions do not.
	Obeys bool
	// Cordoned says that the member is to give its bases up, and to be given none.
	Cordoned bool
	// Pins are the bases that are to be the member's, by key, each until a time by the
	// member's wall clock. The member takes out what is over. Nobody else looks at the time,
	// so clocks that differ have no base go to and fro.
	Pins map[string]time.Time
}

// obey says whether requests count: not while a member lives that knows none, for it would
// give back what others move.
func (all members) obey() bool {
	for _, m := range all {
		switch {
		case m.Holder == "", m.Obeys:
		default:
			return false
		}
	}
	return true
}

// standing is how well a member can have bases. Only those that stand best are given any.
type standing int

const (
	// unlinked: it can command nobody. A cordon waits until somebody can.
	unlinked standing = iota
	// cordoned: it can, and is asked not to. It keeps what nobody else can have.
	cordoned
	ready
)

// standing is a member's; obeyed says whether requests count.
func (m *Member) standing(obeyed bool) standing {
	switch {
	case !m.Linked:
		return unlinked
	case obeyed && m.Cordoned:
		return cordoned
	}
	return ready
}

// pins give whom bases are pinned to, by key. Of two members that are to have one base that one
// counts whose pin ends last.
func (all members) pins() map[string]string {
	if !all.obey() {
		return nil
	}
	pins, ends := map[string]string{}, map[string]time.Time{}
	for _, name := range slices.Sorted(maps.Keys(all)) {
		if all[name].Holder == "" {
			continue
		}
		for key, until := range all[name].Pins {
			if ends[key].Before(until) {
				pins[key], ends[key] = name, until
			}
		}
	}
	return pins
}

// pinned is the member that a base is pinned to, empty for none and while that one may not be
// given it.
func (s *State) pinned(b *base) string {
	if to := s.team.pins[b.name]; slices.Contains(s.team.serving(b.env), to) {
		return to
	}
	return ""
}
