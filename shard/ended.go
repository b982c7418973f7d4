package shard

import (
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"
)

// endedSessions are sessions that are over, by incarnation: each acts no more from a
// time on. The earliest time that is certain counts. None is that of a member, as its
// membership Lease was seen last. One that is forgotten is asked about again.
type endedSessions struct {
	silent *simplelru.LRU[string, time.Time]
}

// pastSessions is how many sessions that are over are remembered.
const pastSessions = 1000

func newEndedSessions() endedSessions {
	silent, err := simplelru.NewLRU[string, time.Time](pastSessions, nil)
	if err != nil {
		panic(err) // pastSessions is positive
	}
	return endedSessions{silent}
}

// at gives from when on a session acts no more, if it is over.
func (e endedSessions) at(incarnation string) (silent time.Time, over bool) {
	return e.silent.Get(incarnation)
}

func (e endedSessions) end(incarnation string, silent time.Time) {
	if at, over := e.at(incarnation); !over || silent.Before(at) {
		e.silent.Add(incarnation, silent)
	}
}

// lives takes in that a membership Lease names a session, which it may not have done
// when that was asked about: a person may have deleted the Lease and put it back.
func (e endedSessions) lives(incarnation string) { e.silent.Remove(incarnation) }
