package tunneltest

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
		l, f := s.process(), s.Faults()
		if !f.away() {
			for _, r := range s.takeOutbox() {
				s.post(ctx, r.where, r.body)
			}
		}
		if l.number != begun {
			begun, next = l.number, time.Now()
		}
		if f.away() || f.NoHeartbeat {
			timer.Reset(time.Hour)
			continue
		}
		s.listen(l, next)
		if !time.Now().Before(next) {
			next = time.Now().Add(cmp.Or(s.options.Heartbeat, 12*time.Second))
			s.post(ctx, "heartbeat", encode(s.heartbeat(s.port)))
		}
		timer.Reset(time.Until(s.listen(l, next)))
	}
}

// listen opens the door to commands once it is time to, and gives when announce must
// look again.
func (s *server) listen(l *life, next time.Time) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := l.begun.Add(s.options.ListenAfter)
	if time.Now().Before(at) {
		if at.Before(next) {
			return at
		}
		return next
	}
	s.open = l.number
	return next
}
