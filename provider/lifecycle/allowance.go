package lifecycle

import "time"

// Allowance is the budget of questions that this replica asks its bases. It delays only
// those that can wait; all are charged to it, so that those that cannot come first. It has no
// lock: the caller holds one. NewAllowance makes one.
type Allowance struct {
	each time.Duration // from one question to the next
	most time.Duration // that what is asked may be ahead: nobody waits for longer
	// next is when the next question would be due if each came no sooner than each after
	// the one before.
	next time.Time
}

// allowanceBurst is how much of the budget may be spent at once, after a while in which
// less was.
const allowanceBurst = time.Second

// NewAllowance makes the budget of a completed configuration.
func NewAllowance(c Config) *Allowance {
	a := &Allowance{most: c.QuietEvery}
	a.SetRate(c.QuestionRate)
	return a
}

// SetRate changes how many questions there may be a second, which is positive. What was spent
// stays spent.
func (a *Allowance) SetRate(perSecond float64) {
	a.each = time.Duration(float64(time.Second) / perSecond)
}

// Room is when there is room for one more question; not after now where there is now.
func (a *Allowance) Room(now time.Time) time.Time {
	return later(now, a.next.Add(-max(0, allowanceBurst-a.each)))
}

// Spend charges questions.
func (a *Allowance) Spend(questions int, now time.Time) {
	next := later(a.next, now).Add(time.Duration(questions) * a.each)
	a.next = earliest(next, now.Add(a.most))
}

// span is when a question is due: at from where the budget has room, at until at the latest.
type span struct {
	from, until time.Time
	// silent is when it is asked because nothing is heard.
	silent Silence
}

// promptly is when a question is due that waits for no budget.
func promptly(at time.Time) span { return span{from: at, until: at} }

// at is when it is asked whatever is heard, if the budget has room at that time.
func (s span) at(room time.Time) time.Time { return earliest(later(s.from, room), s.until) }

// due says that it is to be asked now.
func (s span) due(now, room time.Time) bool { return !now.Before(earliest(s.at(room), s.silent.Due())) }

// waits says that it is due, and that the budget has room before it is asked anyway.
func (s span) waits(now, room time.Time) bool {
	switch {
	case now.Before(s.from), !now.Before(room):
		return false
	}
	return room.Before(s.until)
}
