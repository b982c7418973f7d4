package provider

import (
	"sync"
	"time"

	"module-controller/provider/lifecycle"
)

// questions is the budget of questions that all workers share.
type questions struct {
	mu sync.Mutex
	// mu guards what follows
	allowance *lifecycle.Allowance
}

// room is when there is room for one more.
func (q *questions) room(now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.allowance.Room(now)
}

// spend charges some.
func (q *questions) spend(n int, now time.Time) {
	if n == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.allowance.Spend(n, now)
}
