package shard

import (
	"testing"
	"time"
)

// A member may be configured otherwise than we are: how long it may act after a write
// is read from its Lease, where that is longer.
func TestTheDeadlineOfAMemberIsReadFromItsLease(t *testing.T) {
	for name, c := range map[string]struct{ tells, want time.Duration }{
		"longer than ours":  {9 * time.Second, 9 * time.Second},
		"shorter than ours": {time.Second, 3500 * time.Millisecond},
		"not told":          {0, 3500 * time.Millisecond},
	} {
		t.Run(name, func(t *testing.T) {
			now := time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)
			s := NewState("mc-0_00000000", Timing{})
			lives := Member{Name: "mc-1", Holder: "mc-1_11111111", Revision: 1, RenewDeadline: c.tells, Linked: true, Renewed: now}
			s.SeeMember(Member{Name: "mc-0", Holder: s.Self, Revision: 2, Linked: true}, now)
			s.SeeMember(lives, now)
			s.Renewed(now, now, s.RenewDeadline)
			s.SeeBase("b", Lease{Holder: lives.Holder, Epoch: 1, Revision: 3, Renewed: now}, now)
			expired := lives
			expired.Holder, expired.Last, expired.Revision = "", lives.Holder, 4
			s.SeeMember(expired, now.Add(time.Second))
			s.Renewed(now.Add(time.Second), now.Add(time.Second), s.RenewDeadline)
			if step, wait := s.Turn("b", now.Add(time.Second)); step.Kind != Nothing || wait != c.want-time.Second {
				t.Errorf("a second after its last renewal its base needs step %d in %s, want none for %s", step.Kind, wait, c.want-time.Second)
			}
		})
	}
}
