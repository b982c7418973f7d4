package history

import (
	"strings"
	"time"
)

// prompt checks that a pod showed in time what was so. One that was deleted before it was
// Ready had as long as that to become so.
func (c *check) prompt(p Pod) {
	switch {
	case p.Ready.IsZero() && !p.Deleted.IsZero():
		c.took(p, "Ready", p.Created, p.Deleted)
	default:
		c.report.ToReady = max(c.report.ToReady, c.took(p, "Ready", p.Created, p.Ready))
	}
	if !p.Deleted.IsZero() {
		c.report.ToGone = max(c.report.ToGone, c.took(p, "gone", p.Deleted, p.Gone))
	}
}

func (c *check) took(p Pod, what string, from, to time.Time) time.Duration {
	if to.IsZero() {
		c.bad("I4: the pod of %s on %s never was %s", strings.Join(p.Modules, " "), p.Base, what)
		return 0
	}
	due := from.Add(calm)
	for _, f := range c.Faults {
		if f.Begun.Before(to) && f.Ended.Add(healing).After(from) {
			due = later(due, later(from, f.Ended).Add(healing))
		}
	}
	if to.After(due) {
		c.bad("I4: the pod of %s on %s was %s %s after it should have been", strings.Join(p.Modules, " "), p.Base, what, to.Sub(due))
	}
	return to.Sub(from)
}

func later(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}
