package lifecycle

import "time"

// Silence says when a base is to be reconciled because nothing is heard of it. Each message
// moves that, so it is no timer: whoever hears the messages looks now and then whether it is
// overdue. The zero value says never.
type Silence struct {
	// Since is when the last message came.
	Since time.Time
	// Ask is for how long nothing was heard when the base is asked, NotBefore that time; zero
	// for never.
	Ask       time.Duration
	NotBefore time.Time
	// Stale is for how long nothing was heard when its Node turns NotReady; zero for never.
	Stale time.Duration
}

// Due is when the base is to be reconciled; zero for never.
func (s Silence) Due() time.Time {
	var ask, stale time.Time
	if s.Ask > 0 {
		ask = later(s.NotBefore, s.Since.Add(s.Ask))
	}
	if s.Stale > 0 {
		stale = s.Since.Add(s.Stale)
	}
	return earliest(ask, stale)
}
