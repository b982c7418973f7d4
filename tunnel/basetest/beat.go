package basetest

import (
	"cmp"
	"context"
	"time"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// beat announces the bases of a group. It sleeps until one is due or something
// changed.
func (g *group) beat(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		case <-g.wake:
		}
		next := time.Now().Add(time.Minute)
		for _, s := range g.bases {
			if at := s.announce(time.Now()); at.Before(next) {
				next = at
			}
		}
		timer.Reset(max(time.Until(next), beatGrain))
	}
}

// beatGrain is how exact heartbeats are.
const beatGrain = 5 * time.Millisecond

// announce sends what is due of a base, and gives when the next is due. A process sends
// queryBaseline once, when it is first connected, and a heartbeat right behind it. A
// heartbeat that cannot be sent is the process's last.
func (s *speaker) announce(now time.Time) time.Time {
	never := now.Add(time.Hour)
	p, faults, connected := s.running(), s.Faults(), s.group.connected()
	if faults.away() {
		return never
	}
	if connected {
		for _, r := range s.takeOutbox() {
			s.group.send(s.root()+r.where, r.body)
		}
	}
	if s.began != p.number {
		if !connected {
			return never
		}
		s.began, s.next, s.last = p.number, now, nil
		s.subscribe(p)
		s.mu.Lock()
		data := s.metadata()
		s.mu.Unlock()
		s.group.send(s.root()+"base/queryBaseline", s.envelope(data))
	}
	if faults.NoHeartbeat || s.heartbeatDead(p, false) {
		return never
	}
	if now.Before(s.next) {
		return s.next
	}
	s.next = now.Add(cmp.Or(s.options.Heartbeat, 10*time.Second))
	if s.last != nil && ended(s.last) && !failed(s.last) {
		s.arrived()
	}
	token, sent := s.group.send(s.root()+"base/heart", s.envelope(s.heartbeat(0)))
	if !sent || failed(s.last) {
		s.heartbeatDead(p, true)
		return never
	}
	s.last = token
	return s.next
}

// subscribe subscribes what a new process does, if the connection was there before it:
// so it gets retained commands, as on a connection of its own.
func (s *speaker) subscribe(p *process) {
	s.group.mu.Lock()
	c, since := s.group.client, s.group.since
	s.group.mu.Unlock()
	if c != nil && since.Before(p.begun) {
		c.SubscribeMultiple(map[string]byte{s.root() + "+": 1, s.root() + "base/baseline": 1}, nil)
	}
}

// heartbeatDead reports whether a process's heartbeat has stopped for good; dead: it
// stops now.
func (b *Base) heartbeatDead(p *process, dead bool) bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	p.heartDead = p.heartDead || dead
	return p.heartDead
}

// failed reports that a publish has ended without an acknowledgement.
func failed(t paho.Token) bool { return t != nil && ended(t) && t.Error() != nil }

// ended reports that a publish has ended, either way.
func ended(t paho.Token) bool {
	select {
	case <-t.Done():
		return true
	default:
		return false
	}
}

// connected reports whether there is a connection.
func (g *group) connected() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.client != nil
}
