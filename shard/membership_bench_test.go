package shard

import (
	"fmt"
	"testing"
	"time"
)

// crowd is mc-0 among members that own many bases, each those that are assigned to it.
type crowd struct {
	*State
	now         time.Time
	rev         uint64
	passes      int                // over all bases
	turns       int                // that bases took because of members
	transferred []string           // the bases of the last member
	worked      map[time.Time]bool // when the assignment was worked out
}

func newCrowd(bases, members int) *crowd {
	c := &crowd{State: NewState(Identity{Incarnation: "mc-0_00000000", Installation: "ours"}, Timing{}), now: time.Date(2026, 11, 28, 12, 0, 0, 0, time.UTC), worked: map[time.Time]bool{}}
	for m := range members {
		c.sees(m, func(*Member) {})
	}
	c.Renewed(c.now, c.now, c.RenewDeadline)
	keys := names("base", bases)
	team := make([]string, members)
	for m := range team {
		team[m] = fmt.Sprintf("mc-%d", m)
	}
	for key, owner := range Assign(keys, team) {
		if owner == team[members-1] {
			c.transferred = append(c.transferred, key)
		}
		c.rev++
		c.SeeBase(key, Lease{Holder: owner + "_00000000", Epoch: 1, Revision: c.rev, Renewed: c.now, Duration: 40 * time.Second, Installation: "ours"}, c.now)
	}
	c.later(time.Minute)
	for _, key := range c.Bases() {
		c.turn(key)
	}
	c.passes, c.turns, c.worked = 0, 0, map[time.Time]bool{c.assigned.at: true}
	return c
}

// sees has a member seen as change has it, and every base that it concerns take its turn, as
// package election has them.
func (c *crowd) sees(m int, change func(*Member)) {
	c.rev++
	name := fmt.Sprintf("mc-%d", m)
	seen := Member{Name: name, Holder: name + "_00000000", Revision: c.rev, Linked: true, Renewed: c.now}
	change(&seen)
	c.concerns(c.SeeMember(seen, c.now))
}

// gone has a member's Lease be deleted.
func (c *crowd) gone(m int) {
	c.rev++
	c.concerns(c.MemberGone(fmt.Sprintf("mc-%d", m), c.rev, c.now))
}

func (c *crowd) concerns(change Change) {
	if change.Team {
		c.passes++
	}
	concerned := c.Concerned(change, c.now)
	c.worked[c.assigned.at] = true
	for _, key := range concerned {
		c.turn(key)
		c.turns++
	}
}

// turn takes a base's turn and writes what it asks for.
func (c *crowd) turn(key string) {
	step, _ := c.Turn(key, c.now)
	c.worked[c.assigned.at] = true
	if step.Kind != ClaimBase {
		return
	}
	c.rev++
	c.Wrote(key, step, Lease{Holder: c.Self, Epoch: step.Epoch, Revision: c.rev, Renewed: c.now, Duration: 40 * time.Second, Installation: "ours"}, c.now)
}

// later has time pass, in which mc-0 renews its membership.
func (c *crowd) later(d time.Duration) {
	c.now = c.now.Add(d)
	c.Renewed(c.now, c.now, c.RenewDeadline)
}

// What one member that comes, goes or dies costs another, from when it is seen until all
// that follows at once is decided: the newcomer is seen twice, without its tunnels and with
// them; who goes drains, transfers its bases and says that it left; who dies is expired, and
// forgotten in the end.
var memberships = map[string]func(c *crowd, members int){
	"join": func(c *crowd, members int) {
		c.sees(members, func(m *Member) { m.Linked = false })
		c.later(time.Second)
		c.sees(members, func(*Member) {})
	},
	"leave": func(c *crowd, members int) {
		c.later(time.Second)
		c.sees(members-1, func(m *Member) { m.Draining = true })
		c.later(time.Second)
		for _, key := range c.transferred {
			c.rev++
			c.SeeBase(key, Lease{Holder: "mc-1_00000000", Epoch: 2, Revision: c.rev, Renewed: c.now, Transferred: true, Installation: "ours"}, c.now)
			c.turn(key)
		}
		c.later(time.Second)
		c.sees(members-1, c.vacant(true))
		c.later(forgetAfter)
		c.gone(members - 1)
	},
	"kill": func(c *crowd, members int) {
		c.later(c.FailureTimeout)
		c.sees(members-1, c.vacant(false))
		c.later(forgetAfter)
		c.gone(members - 1)
	},
}

// vacant is a member that nobody holds any more; its last renewal is the one that was seen.
func (c *crowd) vacant(released bool) func(*Member) {
	return func(m *Member) {
		m.Renewed = c.members[m.Name].Renewed
		m.Last, m.Holder, m.Released = m.Holder, "", released
	}
}

// One that comes, goes or dies costs another one pass over all bases, in which the assignment
// is worked out once; what takes a turn then is what it has to do with.
func TestAMemberThatComesOrGoesCostsOnePass(t *testing.T) {
	const bases, members = 3000, 3
	for what, happens := range memberships {
		t.Run(what, func(t *testing.T) {
			c := newCrowd(bases, members)
			happens(c, members)
			if c.passes != 1 {
				t.Errorf("%d passes over all bases", c.passes)
			}
			if len(c.worked) != 2 { // and once before
				t.Errorf("the assignment was worked out %d times", len(c.worked)-1)
			}
			if share := bases * 115 / 100 / (members - 1); c.turns > share {
				t.Errorf("%d bases took turns, one has %d at most", c.turns, share)
			}
			if c.turns == 0 && what != "leave" { // what leaves hands over by itself
				t.Error("no base took a turn")
			}
		})
	}
}

// What a replica looks at once a second, whatever happens.
func BenchmarkEachSecond(b *testing.B) {
	for _, size := range []struct{ bases, members int }{{1000, 3}, {10_000, 3}, {10_000, 50}, {100_000, 3}, {100_000, 50}} {
		c := newCrowd(size.bases, size.members)
		b.Run(fmt.Sprintf("%d_bases_%d_members", size.bases, size.members), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c.Count(c.now)
				c.Shifted(c.now)
				c.Oldest(c.now)
			}
		})
	}
}

func BenchmarkMembership(b *testing.B) {
	for _, size := range []struct{ bases, members int }{{1000, 3}, {10_000, 3}, {10_000, 50}, {100_000, 3}, {100_000, 50}} {
		for _, what := range []string{"join", "leave", "kill"} {
			b.Run(fmt.Sprintf("%s/%d_bases_%d_members", what, size.bases, size.members), func(b *testing.B) {
				b.ReportAllocs()
				turns, passes := 0, 0
				for range b.N {
					b.StopTimer()
					c := newCrowd(size.bases, size.members)
					b.StartTimer()
					memberships[what](c, size.members)
					turns, passes = turns+c.turns, passes+c.passes
				}
				b.ReportMetric(float64(turns)/float64(b.N), "turns/op")
				b.ReportMetric(float64(passes)/float64(b.N), "passes/op")
			})
		}
	}
}
