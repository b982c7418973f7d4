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
// is worth more than one that does not: further requests of bases share a quarter of all,
// bases that have not answered yet three eighths, bases that kept us waiting an eighth.
// What is left, a quarter at least, is for the first requests of bases that answer. Polls
// count as further requests: they can wait.
type shares struct {
	total int
	// used are all in flight, by standing; further are those of bases that had one
	// already, and polls. None exceeds its limit.
	used    [suspect + 1]int
	further int
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

// limit is how many requests bases of a standing may have in flight, in all.
func (s *shares) limit(of standing) int {
	return max(1, [...]int{sound: s.total, untried: s.total * 3 / 8, suspect: s.total / 8}[of])
}

// take gives a base one more request, unless its kind has too many.
func (s *shares) take(r *record, poll bool) (seat, bool) {
	one := seat{r.standing(), r.inFlight > 0 || poll}
	switch {
	case s.inFlight() >= s.total:
		return seat{}, false
	case s.used[one.standing] >= s.limit(one.standing):
		return seat{}, false
	case one.further && s.further >= max(1, s.total/4):
		return seat{}, false
	}
	s.count(one, 1)
	r.inFlight++
	return one, true
}

// give takes a request back that has ended.
func (s *shares) give(r *record, one seat) {
	s.count(one, -1)
	r.inFlight--
}

func (s *shares) count(one seat, n int) {
	s.used[one.standing] += n
	if one.further {
		s.further += n
	}
}

// inFlight is how many requests are in flight.
func (s *shares) inFlight() int { return s.used[sound] + s.used[untried] + s.used[suspect] }

// maxStrikes bounds how many answers make up for having kept us waiting.
const maxStrikes = 63

// record is what one base's requests have shown. Tunnel.mu guards it.
type record struct {
	inFlight int
	answered bool
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
		r.answered = true
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
