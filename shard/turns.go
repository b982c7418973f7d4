package shard

import (
	"container/list"
	"time"
)

const (
	// atATime is how many bases that can be handed over are mute at a time: enough to keep
	// all writers busy, few enough that each is written within moments.
	atATime = 64
	// settling is how long a base that does not say that it is drained counts among
	// them. Something is in flight on it then, and others need not wait for that.
	settling = 250 * time.Millisecond
)

// turns says whose turn it is to be handed over. A base is mute from its turn on until it
// is transferred, so most of those that are to leave wait for theirs, and are served
// meanwhile. Nobody has a turn before it is taken, so there is none to be made up for.
type turns struct {
	waiting list.List           // keys, in the order in which they came; each base has its element
	called  map[string]struct{} // whose turn it is, and some whose turn is over
	next    time.Time           // no move to a live member begins before
}

// Next gives the bases whose turn begins now, to be reconciled at once, and after how long
// to ask again; 0 means when somebody waits again.
func (s *State) Next(now time.Time) (keys []string, wait time.Duration) {
	for front := s.turns.waiting.Front(); front != nil; front = s.turns.waiting.Front() {
		if wait := s.untilTurn(now); wait > 0 {
			return keys, wait
		}
		key, _ := front.Value.(string) // nothing else is put in
		s.begin(key, s.bases[key], now)
		keys = append(keys, key)
	}
	return keys, 0
}

// Waits says whether a base waits for its turn.
func (s *State) Waits() bool { return s.turns.waiting.Len() > 0 }

// hasTurn says whether it is a base's turn to be handed over; it waits for that from now
// on.
func (s *State) hasTurn(key string, b *base, now time.Time) bool {
	switch {
	case !b.placement.called.IsZero():
		return true
	case b.placement.waiting == nil:
		b.placement.waiting = s.turns.waiting.PushBack(key)
	}
	if s.turns.waiting.Front() != b.placement.waiting || s.untilTurn(now) > 0 {
		return false
	}
	s.begin(key, b, now)
	return true
}

// begin begins the turn of a base that waits for it.
func (s *State) begin(key string, b *base, now time.Time) {
	s.withdraw(b)
	b.placement.called = now
	if s.turns.called == nil {
		s.turns.called = map[string]struct{}{}
	}
	s.turns.called[key] = struct{}{}
	s.turns.next = now.Add(s.Pace)
}

// withdraw takes a base that is not to be handed over, or is gone, out of those that wait.
func (s *State) withdraw(b *base) {
	if b.placement.waiting != nil {
		s.turns.waiting.Remove(b.placement.waiting)
	}
	b.placement.waiting, b.placement.called = nil, time.Time{}
}

// untilTurn is how long no base's turn begins. Moves to live members are Pace apart.
func (s *State) untilTurn(now time.Time) time.Duration {
	switch left := s.turns.next.Sub(now); {
	case s.draining:
		if s.hurries(now) {
			return 0
		}
		if left := s.untilLeaversAreKnown(now); left > 0 {
			return left
		}
	case left > 0 && !s.stranded():
		return left
	}
	if len(s.turns.called) < atATime {
		return 0
	}
	return s.turns.prune(s.bases, now)
}

// hurries says whether a drain is so near its end that all that is left must begin, to
// have its full time.
func (s *State) hurries(now time.Time) bool {
	return !now.Before(s.drainBy.Add(-s.Handover - 2*farewell))
}

// prune forgets whose turn is over, and gives after how long there is room for another.
func (t *turns) prune(bases map[string]*base, now time.Time) (wait time.Duration) {
	wait = settling
	for key := range t.called {
		left, over := bases[key].turnLeft(now)
		if over {
			delete(t.called, key)
		}
		wait = min(wait, left)
	}
	if len(t.called) < atATime {
		return 0
	}
	return wait
}

// turnLeft is how long the turn of a base lasts, nil for one that is gone. That of one
// that is drained lasts until its Lease was written.
func (b *base) turnLeft(now time.Time) (left time.Duration, over bool) {
	switch {
	case b == nil, b.placement.called.IsZero():
		return 0, true
	case b.handover.drained:
		return settling, false
	}
	left = b.placement.called.Add(settling).Sub(now)
	return left, left <= 0
}
