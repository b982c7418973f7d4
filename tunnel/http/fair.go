package httptunnel

import (
	"errors"
	"net"
	"time"

	"module-controller/tunnel"
)

// shares divides the requests in flight among bases, so that those that never answer do
// not keep them all. Tunnel.mu guards it.
//
// Each base's first request is worth more than another's second, and a base that answers
// is worth more than one that does not: bases that have not answered yet share five
// sixteenths of all, bases that kept us waiting three sixteenths, further requests of bases
// five eighths, and all these together three quarters. What is left, a quarter at least, is
// for the first requests of bases that answer. Polls count as further requests: they can
// wait.
//
// And no base has more in flight, before it answers one, than its standing is worth: 64 that
// die at once leave room for all that others need. That they answered until then makes them
// sound until their first requests end.
type shares struct {
	total int
	// used are all in flight, by standing; further are those of bases that had one
	// already, and polls; firsts are the first ones of sound bases. None exceeds its limit.
	used            [suspect + 1]int
	further, firsts int
}

// standing is what a base's requests have shown of it, the best first.
type standing int

const (
	sound   standing = iota // it answers
	untried                 // it has not answered yet, nor failed to
	suspect                 // it kept us waiting
)

// seat is the right to have one request in flight.
type seat struct {
	standing standing
	further  bool
}

// first says that it is for the first request of a base that answers.
func (s seat) first() bool { return s == seat{standing: sound} }

// limit is how many requests bases of a standing may have in flight, in all.
func (s *shares) limit(of standing) int {
	return max(1, [...]int{sound: s.total, untried: s.total * 5 / 16, suspect: s.total * 3 / 16}[of])
}

// unproved is how many requests a base of a standing may have in flight before it answers
// one: three commands, a list and a health where it answers, the last two where it is new.
func (s standing) unproved() int { return [...]int{sound: 5, untried: 2, suspect: 1}[s] }

// take gives a base one more request, unless its kind has too many.
func (s *shares) take(r *record, poll bool) (seat, bool) {
	one := seat{r.standing(), r.inFlight > 0 || poll}
	switch {
	case s.inFlight() >= s.total, r.unanswered >= one.standing.unproved():
		return seat{}, false
	case s.used[one.standing] >= s.limit(one.standing):
		return seat{}, false
	case one.further && s.further >= max(1, s.total*5/8):
		return seat{}, false
	case !one.first() && s.inFlight()-s.firsts >= max(1, s.total*3/4):
		return seat{}, false
	}
	s.count(one, 1)
	r.inFlight++
	r.unanswered++
	return one, true
}

// give takes a request back that has ended.
func (s *shares) give(r *record, one seat) {
	s.count(one, -1)
	if r.inFlight--; r.inFlight == 0 {
		r.unanswered = 0
	}
}

func (s *shares) count(one seat, n int) {
	s.used[one.standing] += n
	switch {
	case one.further:
		s.further += n
	case one.first():
		s.firsts += n
	}
}

// inFlight is how many requests are in flight.
func (s *shares) inFlight() int { return s.used[sound] + s.used[untried] + s.used[suspect] }

// maxStrikes bounds how many answers make up for having kept us waiting.
const maxStrikes = 63

// record is what one base's requests have shown. Tunnel.mu guards it.
type record struct {
	inFlight int
	// unanswered are the requests that were begun since it last answered one; 0 where none is
	// in flight.
	unanswered int
	answered   bool
	// strikes is how many answers make the base sound again: twice as many and one each
	// time it keeps us waiting, so that one that answers to be believed, and then hangs,
	// gains little.
	strikes int
	struck  time.Time
}

func (r *record) standing() standing {
	switch {
	case r.strikes > 0:
		return suspect
	case r.answered:
		return sound
	}
	return untried
}

// judge takes in how a request ended that began and ended at those times. What kept us
// waiting at the same time is one strike.
func (r *record) judge(v verdict, began, now time.Time) {
	switch {
	case v == late && !began.Before(r.struck):
		r.strikes, r.struck = min(2*r.strikes+1, maxStrikes), now
	case v == answered:
		r.answered, r.unanswered = true, 0
		r.strikes = max(0, r.strikes-1)
	}
}

// verdict is what the end of a request says of a base.
type verdict int

const (
	nothing  verdict = iota // it was not asked, or refused the connection at once
	answered                // whatever it said
	late                    // it kept a request to itself
)

const (
	// slowAnswer is how long a question may take that changes nothing.
	slowAnswer = 2 * time.Second
	// slowFailure is how long one may take that comes to nothing.
	slowFailure = 500 * time.Millisecond
	// firstAnswer is how long a base that has not answered yet is waited for; after that
	// it has Config.Timeout, and the share of those that keep us waiting.
	firstAnswer = 2 * time.Second
)

// verdictOn gives what the end of a request says of a base. A question is a request that
// changes nothing.
func verdictOn(err error, took time.Duration, question bool) verdict {
	var timeout net.Error
	switch {
	case errors.Is(err, tunnel.ErrShut), errors.Is(err, errAddress):
		return nothing
	case errors.As(err, &timeout) && timeout.Timeout():
		return late
	case question && took > slowAnswer, question && err != nil && took > slowFailure:
		return late
	case err == nil, errors.Is(err, errAnswer):
		return answered
	}
	return nothing
}
