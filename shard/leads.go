package shard

import (
	"slices"
	"time"
)

// Leads says whether this replica is the one that does for all members what is called so:
// of those that may be given bases of an environment, or of any where env is empty. It is a
// request and no permission, as an assignment is: members that see each other differently
// may both lead, so what they do must do no harm twice. False while it may not act.
func (s *State) Leads(name, env string, now time.Time) bool {
	return s.Valid(now) && First(name, s.team.leaders(env)) == s.Name
}

// leaders gives who may lead for an environment, in order.
func (t team) leaders(env string) []string {
	if env != anyEnv {
		return t.serving(env)
	}
	var all []string
	for _, able := range t.able {
		all = append(all, able...)
	}
	slices.Sort(all)
	return slices.Compact(all)
}
