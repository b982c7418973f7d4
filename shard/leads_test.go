package shard

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// Of the members that serve an environment one leads for each name, all agree on it, and
// who may not act leads for none.
func TestOneMemberLeads(t *testing.T) {
	now := time.Unix(1000, 0)
	all := []Member{
		{Name: "mc-0", Holder: "mc-0_00000001", Linked: true, Serves: []string{"dev"}},
		{Name: "mc-1", Holder: "mc-1_00000001", Linked: true, Serves: []string{"dev", "prod"}},
		{Name: "mc-2", Holder: "mc-2_00000001", Linked: true, Serves: []string{"prod"}},
		{Name: "mc-3", Holder: "mc-3_00000001", Linked: true, Serves: []string{"dev", "prod"}, Draining: true},
	}
	states := map[string]*State{}
	for _, self := range all {
		s := NewState(Identity{Incarnation: self.Holder}, Timing{})
		for i, m := range all {
			m.Revision = uint64(i + 1)
			s.SeeMember(m, now)
		}
		if s.Leads("shop/orders", "dev", now) {
			t.Errorf("%s leads before it may act", self.Name)
		}
		s.Renewed(now, now, time.Minute)
		states[self.Name] = s
	}
	for env, may := range map[string][]string{"dev": {"mc-0", "mc-1"}, "prod": {"mc-1", "mc-2"}, "": {"mc-0", "mc-1", "mc-2"}, "test": nil} {
		led := map[string]int{}
		for i := range 200 {
			var leaders []string
			for name, s := range states {
				if s.Leads(fmt.Sprintf("shop/orders-%d", i), env, now) {
					leaders = append(leaders, name)
				}
			}
			if len(may) == 0 {
				if len(leaders) > 0 {
					t.Fatalf("%v lead for %q, which nobody serves", leaders, env)
				}
				continue
			}
			if len(leaders) != 1 || !slices.Contains(may, leaders[0]) {
				t.Fatalf("%v lead for %q, want one of %v", leaders, env, may)
			}
			led[leaders[0]]++
		}
		if len(led) != len(may) {
			t.Errorf("for %q only %v lead", env, led)
		}
	}
}
