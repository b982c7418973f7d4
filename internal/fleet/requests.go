package fleet

import (
	"maps"
	"slices"
	"time"

	"module-controller/shard"
)

// Pin says that a base is to be a member's until a time, by that member's clock.
type Pin struct {
	Member string    `json:"member"`
	Until  time.Time `json:"until"`
	// Waits says that the member may not be given it now: it does not live, leaves, is
	// cordoned, or does not serve the base's environment while others do.
	Waits bool `json:"waits,omitempty"`
}

// PinOf is a base's; ok is false where there is none. One of a member that is gone and takes
// it out no more counts until its time.
func (s *Snapshot) PinOf(base string) (pin Pin, ok bool) {
	for _, m := range s.Members {
		until, pinned := m.Pins[base]
		switch {
		case !pinned, m.Holder == "" && until.Before(s.At):
			continue
		case s.pins()[base] == m.Name:
			return Pin{Member: m.Name, Until: until}, true
		case until.After(pin.Until):
			pin, ok = Pin{Member: m.Name, Until: until, Waits: true}, true
		}
	}
	return pin, ok
}

// pins give whom bases are to be owned by that are pinned, by their names.
func (s *Snapshot) pins() map[string]string {
	all := s.shardMembers()
	pins := shard.Pinned(all)
	maps.DeleteFunc(pins, func(base, to string) bool {
		b := s.bases[base]
		return b == nil || !slices.Contains(shard.Able(all, b.ID.Env), to)
	})
	return pins
}

// Obeyed says whether requests count. Where they do not, who are the live members that know
// none.
func (s *Snapshot) Obeyed() (obeyed bool, not []string) {
	for _, m := range s.Live() {
		if !m.Obeys {
			not = append(not, m.Name)
		}
	}
	return len(not) == 0, not
}

// Without gives the environments of a member whose bases no other member could be given if it
// were cordoned: those of the bases there are, for a member that does not say what it serves.
func (s *Snapshot) Without(name string) (envs []string) {
	all := s.shardMembers()
	var serves []string
	for i := range all {
		if all[i].Name == name {
			all[i].Cordoned, serves = true, all[i].Serves
		}
	}
	if serves == nil {
		for _, b := range s.Bases {
			serves = append(serves, b.ID.Env)
		}
		slices.Sort(serves)
		serves = slices.Compact(serves)
	}
	for _, env := range serves {
		if !shard.Ready(all, env) {
			envs = append(envs, env)
		}
	}
	return envs
}
