package kubelet

import (
	"fmt"
	"sync"
)

const (
	// maxStreams bounds the logs that are read at a time; each may be followed for hours.
	maxStreams = 64
	// maxByToken bounds those of all who prove themselves by tokens, and maxOfOne those of one of
	// them. Half is always left to the API server, which has a client certificate and reads for
	// all people.
	maxByToken = maxStreams / 2
	maxOfOne   = maxByToken / 2
)

// logStreams are the logs that are read now. Its methods may be called from any goroutine.
type logStreams struct {
	mu sync.Mutex
	// mu guards what follows
	all, byToken int
	of           map[string]int // those of byToken, by the user's name; none is zero
}

func newStreams() *logStreams { return &logStreams{of: map[string]int{}} }

// begin counts a log, until end, or says why it may not be read now.
func (s *logStreams) begin(who asker) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= maxStreams {
		return fmt.Errorf("%d logs are read at this replica already: try again later", maxStreams)
	}
	if !who.certified {
		if err := s.beginByToken(who.Username); err != nil {
			return err
		}
	}
	s.all++
	return nil
}

// beginByToken needs mu.
func (s *logStreams) beginByToken(user string) error {
	switch {
	case s.byToken >= maxByToken:
		return fmt.Errorf("%d logs are read at this replica by tokens already: try again later, or read through the API server", maxByToken)
	case s.of[user] >= maxOfOne:
		return fmt.Errorf("user %q reads %d logs at this replica already: end some, or read through the API server", user, maxOfOne)
	}
	s.byToken++
	s.of[user]++
	return nil
}

// end ends counting one that began.
func (s *logStreams) end(who asker) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if who.certified {
		return
	}
	s.byToken--
	if s.of[who.Username]--; s.of[who.Username] == 0 {
		delete(s.of, who.Username)
	}
}
