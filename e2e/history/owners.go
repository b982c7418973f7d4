package history

import (
	"cmp"
	"slices"
	"time"
)

// Session is who held a membership Lease from when that was seen: nobody, where Holder is
// empty. Version is the program's, as the Lease says.
type Session struct {
	At      time.Time
	Member  string // the Lease's name
	Holder  string
	Version string
}

// unowned gives the longest time in which a base had no owner that was a member: its Lease
// named a session whose membership was over. It is 0 where memberships were not observed.
func (c *check) unowned() (longest time.Duration) {
	if len(c.Sessions) == 0 {
		return 0
	}
	for _, claims := range c.of {
		for i, claim := range claims {
			until := c.Ended
			if i+1 < len(claims) {
				until = claims[i+1].At
			}
			if over := c.overAt(claim.Holder); over.Before(until) {
				longest = max(longest, until.Sub(later(over, claim.At)))
			}
		}
	}
	return longest
}

// overAt is when a session's membership was seen to be over; the end of the history where it
// was not. One that was never seen was over from the beginning.
func (c *check) overAt(holder string) time.Time {
	last := -1
	for i, s := range c.Sessions {
		if s.Holder == holder {
			last = i
		}
	}
	if last < 0 {
		return c.Began
	}
	member := c.Sessions[last].Member
	for _, s := range c.Sessions[last+1:] {
		if s.Member == member {
			return s.At
		}
	}
	return c.Ended
}

// Together gives the versions of members that there were at a time, each combination once, in
// the order in which it was first seen. Versions are in order too.
func (h *History) Together() (all [][]string) {
	members := map[string]Session{}
	for _, s := range h.Sessions {
		if members[s.Member] = s; s.Holder == "" {
			delete(members, s.Member)
		}
		var versions []string
		for _, m := range members {
			versions = append(versions, m.Version)
		}
		slices.Sort(versions)
		versions = slices.Compact(versions)
		if !slices.ContainsFunc(all, func(seen []string) bool { return slices.Equal(seen, versions) }) {
			all = append(all, versions)
		}
	}
	return all
}

// HeldBy counts the claims that sessions of each version held.
func (h *History) HeldBy() map[string]int {
	version := map[string]string{} // by session
	for _, s := range h.Sessions {
		version[s.Holder] = cmp.Or(s.Version, "unknown")
	}
	claims := map[string]int{}
	for _, claim := range h.Claims {
		claims[version[claim.Holder]]++
	}
	return claims
}
