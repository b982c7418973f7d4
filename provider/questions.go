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
	// rate gives how many there may be a second now.
	rate func() float64
}

func newQuestions(c lifecycle.Config) *questions {
	return &questions{allowance: lifecycle.NewAllowance(c), rate: func() float64 { return c.QuestionRate }}
}

// room is when there is room for one more.
func (q *questions) room(now time.Time) time.Time {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.allowance.SetRate(q.rate())
	return q.allowance.Room(now)
}

// spend charges some.
func (q *questions) spend(n int, now time.Time) {
	if n == 0 {
		return
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.allowance.SetRate(q.rate())
	q.allowance.Spend(n, now)
}
