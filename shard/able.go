package shard

import "slices"

// Able gives, in order, who of all may be given bases of an environment: what a member works
// out of the same Leases. With Assign it tells who should own which base.
func Able(all []Member, env string) []string { return known(all).ableFor(env) }

// Pinned gives whom bases are pinned to, by key, out of the same Leases. It counts for bases
// which that one may be given.
func Pinned(all []Member) map[string]string { return known(all).pins() }

// Ready says whether any member is ready to be given bases of an environment: it lives, does
// not leave, has its tunnels and is not cordoned.
func Ready(all []Member, env string) bool {
	return slices.ContainsFunc(all, func(m Member) bool {
		switch {
		case m.Holder == "", m.Draining, !m.serves(env):
			return false
		}
		return m.standing(true) == ready
	})
}

func known(all []Member) members {
	known := members{}
	for _, m := range all {
		known[m.Name] = &member{Member: m}
	}
	return known
}
