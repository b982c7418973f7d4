package shard

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

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
