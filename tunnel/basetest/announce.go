package basetest

import (
	"cmp"
	"context"
	"time"
)

// announce posts heartbeats, the first one before the base listens. One that fails is
// not the last over HTTP.
func (s *server) announce(ctx context.Context) {
	var next time.Time
	begun := 0
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-s.wake:
		}
		p, f := s.running(), s.Faults()
		if !f.away() {
			for _, r := range s.takeOutbox() {
				s.say(ctx, r)
			}
		}
		if p.number != begun {
			begun, next = p.number, time.Now()
		}
		if pause, quiet := s.quiet(p, f); quiet {
			timer.Reset(pause)
			continue
		}
		s.listen(p, next)
		if !time.Now().Before(next) {
			next = time.Now().Add(cmp.Or(s.options.Heartbeat, 12*time.Second))
			s.beat(ctx)
		}
		timer.Reset(time.Until(s.listen(p, next)))
	}
}

// quiet says that no heartbeat is sent, and gives the pause until announce must look again. A
// base that never sends any listens all the same.
func (s *server) quiet(p *process, f Faults) (pause time.Duration, quiet bool) {
	switch {
	case len(s.endpoints) == 0:
		return time.Until(s.listen(p, time.Now().Add(time.Hour))), true
	case f.away(), f.NoHeartbeat:
		return time.Hour, true
	}
	return 0, false
}

// listen lets commands in once it is time to, and gives when announce must
// look again.
func (s *server) listen(p *process, next time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := p.begun.Add(s.options.ListenAfter)
	if time.Now().Before(at) {
		if at.Before(next) {
			return at
		}
		return next
	}
	s.open = p.number
	return next
}
