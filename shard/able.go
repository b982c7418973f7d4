package shard

// Able gives, in order, who of all may be given bases of an environment: what a member works
// out of the same Leases. With Assign it tells who should own which base.
func Able(all []Member, env string) []string {
	known := members{}
	for _, m := range all {
		known[m.Name] = &member{Member: m}
	}
	return known.ableFor(env)
}
