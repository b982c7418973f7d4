package lifecycle

import "time"

const (
	// describeEvery is how often a Node is described anew for good; describeBurst is how
	// often it may be at once, after a while in which it was not.
	describeEvery = 10 * time.Second
	describeBurst = 3
)

// pace is a token bucket: when the next description would be due if each came no sooner
// than describeEvery after the one before. The zero value is a full bucket.
type pace struct{ next time.Time }

// due is when a description may be written next.
func (p *pace) due() time.Time { return p.next.Add(-(describeBurst - 1) * describeEvery) }

// ready says whether a description may be written now.
func (p *pace) ready(now time.Time) bool { return !now.Before(p.due()) }

// spend counts a description that was written.
func (p *pace) spend(now time.Time) { p.next = later(p.next, now).Add(describeEvery) }
