package shard

import (
	"slices"
	"testing"
	"time"
)

// Who looks from outside comes to the same as a member does.
func TestAbleIsWhatMembersWorkOut(t *testing.T) {
	all := []Member{
		{Name: "mc-2", Holder: "mc-2_00000001", Linked: true},
		{Name: "mc-0", Holder: "mc-0_00000001", Linked: true, Serves: []string{"dev"}},
		{Name: "mc-1", Holder: "mc-1_00000001", Linked: true, Draining: true},
		{Name: "mc-3"},
		{Name: "mc-4", Holder: "mc-4_00000001"},
	}
	for env, want := range map[string][]string{"dev": {"mc-0", "mc-2"}, "prod": {"mc-2"}} {
		if got := Able(all, env); !slices.Equal(got, want) {
			t.Errorf("for %s are able %v, want %v", env, got, want)
		}
		s := NewState(Identity{Incarnation: "mc-0_00000001"}, Timing{})
		for i, m := range all {
			m.Revision = uint64(i + 1)
			s.SeeMember(m, time.Unix(0, 0))
		}
		if got := s.team.serving(env); !slices.Equal(got, want) {
			t.Errorf("for %s a member knows %v, want %v", env, got, want)
		}
	}
	if got := Able(all[4:], "dev"); !slices.Equal(got, []string{"mc-4"}) {
		t.Errorf("where nobody is linked %v are able", got)
	}
}
