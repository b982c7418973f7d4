package shard

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A base is elsewhere while a live member has its Lease: not because it is that one's to claim.
func TestElsewhere(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := NewState(Identity{Incarnation: "mc-0_00000000"}, Timing{})
	s.SeeMember(Member{Name: "mc-1", Holder: "mc-1_11111111", Revision: 1}, now)
	for key, holder := range map[string]string{"ours": "mc-0_00000000", "theirs": "mc-1_11111111", "nobody's": "", "a dead one's": "mc-2_22222222"} {
		s.SeeBase(key, Lease{Holder: holder, Epoch: 1, Revision: 2}, now)
	}
	for key, want := range map[string]bool{"ours": false, "theirs": true, "nobody's": false, "a dead one's": false, "unknown": false} {
		if got := s.Elsewhere(key); got != want {
			t.Errorf("%s is elsewhere: %t", key, got)
		}
	}
}

// The bases of who died are claimed in the order in which their Nodes would turn NotReady,
// as far as that was seen; those that were seen at once, by what their owner wrote.
func TestBasesComeOldestFirst(t *testing.T) {
	now := time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC)
	s := NewState(Identity{Incarnation: "mc-0_00000000"}, Timing{})
	for i, seen := range []struct {
		key         string
		at, renewed time.Duration
	}{{"d", 3 * time.Second, 0}, {"b", time.Second, 7}, {"a", time.Second, 5}, {"c", 2 * time.Second, 9}} {
		s.SeeBase(seen.key, Lease{Holder: "mc-1_11111111", Epoch: 1, Revision: uint64(i + 1), Renewed: now.Add(seen.renewed)}, now.Add(seen.at))
	}
	if d := cmp.Diff([]string{"a", "b", "c", "d"}, s.Bases()); d != "" {
		t.Errorf("(-want +got):\n%s", d)
	}
}
