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
				s.post(ctx, r.where, r.body)
			}
		}
		if p.number != begun {
			begun, next = p.number, time.Now()
		}
		if s.endpoint == "" {
			timer.Reset(time.Until(s.listen(p, time.Now().Add(time.Hour))))
			continue
		}
		if f.away() || f.NoHeartbeat {
			timer.Reset(time.Hour)
			continue
		}
		s.listen(p, next)
		if !time.Now().Before(next) {
			next = time.Now().Add(cmp.Or(s.options.Heartbeat, 12*time.Second))
			s.post(ctx, "heartbeat", encode(s.heartbeat(s.port)))
		}
		timer.Reset(time.Until(s.listen(p, next)))
	}
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
