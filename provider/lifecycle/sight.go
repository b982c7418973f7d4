package lifecycle

import (
	"time"

	"module-controller/tunnel"
)

// Sight is what a base told last, for who looks at it. It decides nothing.
type Sight struct {
	// Modules are the ones that the base listed last. They are not changed.
	Modules []tunnel.Module
	// Health is nil until the base told it, at Told. It is not changed.
	Health *tunnel.Health
	Told   time.Time
	// CPUSeconds is how long processors were in use where the base runs, all together, since
	// it told its health here first: what it told last counts for the time since it told it
	// before.
	CPUSeconds float64
}

// See takes in a report of the base.
func (s *Sight) See(r tunnel.Report) {
	switch {
	case r.Listed:
		s.Modules = r.Modules
	case r.Health != nil:
		if s.Health != nil {
			s.CPUSeconds += r.Health.CPUsInUse * max(r.Received.Sub(s.Told), 0).Seconds()
		}
		s.Health, s.Told = r.Health, r.Received
	}
}
