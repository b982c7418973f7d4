package election

import (
	"errors"
	"sync"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

const (
	// refusalsInRow is after how many refusals without a success all bases wait: one of
	// them may be refused for a reason of its own.
	refusalsInRow = 16
	// brakeRetry is how often one base is tried for all while they wait, and how soon the
	// others follow once that was not refused. What the API server asks for counts where
	// it is longer, up to brakeLongest.
	brakeRetry   = time.Second
	brakeLongest = 10 * time.Second
	// toldEvery is how often it is told that Leases are not written.
	toldEvery = time.Minute
)

// brake holds the requests for bases' Leases back while the API server refuses all of them:
// rights were taken away, or it is overloaded.
type brake struct {
	mu sync.Mutex
	// mu guards what follows
	refusals int       // without another answer since
	next     time.Time // when one is tried next, while engaged
	told     time.Time // when failures were told last
	untold   int       // failures that were not told since
}

// engaged says whether all bases wait.
func (b *brake) engaged() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.refusals >= refusalsInRow
}

// wait is for how long a request is held back; 0 for one that is to be sent.
func (b *brake) wait(now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusals < refusalsInRow {
		return 0
	}
	if left := b.next.Sub(now); left > 0 {
		return left
	}
	b.next = now.Add(brakeRetry)
	return 0
}

// answered takes in what became of a request. One that was not answered says nothing.
func (b *brake) answered(err error, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch isRefusal, isAnswer := refused(err); {
	case isRefusal:
		b.refusals++
		pause := brakeRetry
		if seconds, asked := apierrors.SuggestsClientDelay(err); asked {
			pause = min(max(pause, time.Duration(seconds)*time.Second), brakeLongest)
		}
		b.next = now.Add(pause)
	case isAnswer:
		b.refusals = 0
	}
}

// refused says whether the API server refused a request, and whether it answered it at all.
func refused(err error) (refusal, answer bool) {
	var status apierrors.APIStatus
	switch {
	case err == nil:
		return false, true
	case apierrors.IsConflict(err), apierrors.IsNotFound(err), apierrors.IsAlreadyExists(err):
		return false, true
	}
	refusal = errors.As(err, &status)
	return refusal, refusal
}

// tell says whether a failure is to be told now, and how many were not since the last.
func (b *brake) tell(now time.Time) (tell bool, untold int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now.Sub(b.told) < toldEvery {
		b.untold++
		return false, 0
	}
	untold, b.untold, b.told = b.untold, 0, now
	return true, untold
}
