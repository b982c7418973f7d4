package lifecycle

import (
	"testing"
	"time"
)

// Messages are ordered by the base's clock, and how long nothing newer came by ours.
func TestOrderTellsLateMessages(t *testing.T) {
	type message struct {
		stamp, received time.Time
		late            bool
	}
	s := time.Second
	for _, c := range []struct {
		name     string
		messages []message
	}{
		{"in order", []message{{noon, noon, false}, {at(s), at(s), false}, {at(2 * s), at(2 * s), false}}},
		{"twice", []message{{noon, noon, false}, {noon, at(s), true}, {noon, at(2 * s), true}}},
		{"overtaken", []message{{at(2 * s), noon, false}, {at(s), at(s), true}, {at(3 * s), at(2 * s), false}}},
		{"without stamps", []message{{time.Time{}, noon, false}, {time.Time{}, noon, false}}},
		{"one without a stamp proves nothing of others", []message{
			{at(s), noon, false}, {time.Time{}, at(s), false}, {noon, at(2 * s), true},
		}},
		{"clock set back", []message{
			{noon, noon, false}, {at(-time.Hour), at(clockSetBack - 1), true}, {at(-time.Hour), at(clockSetBack), false},
			{at(-2 * time.Hour), at(clockSetBack + s), true}, {at(-time.Hour + s), at(clockSetBack + 2*s), false},
		}},
		{"a late one does not prolong what is believed", []message{
			{noon, noon, false}, {at(-s), at(50 * s), true}, {at(-s), at(clockSetBack), false},
		}},
		{"clock set forward, and back again", []message{
			{at(time.Hour), noon, false}, {at(s), at(s), true}, {at(clockSetBack), at(clockSetBack), false}, {at(clockSetBack + s), at(clockSetBack + s), false},
		}},
		{"one from the far future mutes no other", []message{
			{noon, noon, false}, {at(farAhead + time.Hour), at(s), false}, {at(2 * s), at(2 * s), false}, {noon, at(3 * s), true},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			var o order
			for i, m := range c.messages {
				if got := o.late(m.stamp, m.received); got != m.late {
					t.Errorf("message %d: late %v, want %v", i, got, m.late)
				}
			}
		})
	}
}
