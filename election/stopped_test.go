package election

import (
	"sync"
	"time"
)

// stopped is a process that may be stopped for a while, as by SIGSTOP. In synthetic
// time goroutines cannot be stopped, so what runs in it goes on; but nothing leaves
// the process and nothing reaches it until it runs again. A real one is stopped
// everywhere at once. Here each part is stopped where it next touches the outside,
// with what it decided before: more than can happen, never less.
type stopped struct {
	mu    sync.Mutex
	until time.Time
}

func (s *stopped) stop(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.until = time.Now().Add(d)
}

// since is for how long it has run since it was stopped last.
func (s *stopped) since() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Since(s.until)
}

// wait returns when the process runs. It heeds no context: who is stopped notices
// nothing.
func (s *stopped) wait() {
	for {
		s.mu.Lock()
		left := time.Until(s.until)
		s.mu.Unlock()
		if left <= 0 {
			return
		}
		time.Sleep(left)
	}
}
