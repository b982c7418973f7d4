package election

import (
	"context"
	"time"
)

// callTurns has the bases reconciled whose turn it is to be handed over, until ctx ends.
func (r *Replica) callTurns(ctx context.Context) {
	for {
		r.mu.Lock()
		keys, wait := r.state.Next(time.Now())
		r.mu.Unlock()
		r.reconcile(keys)
		var later <-chan time.Time
		if wait > 0 {
			later = time.After(wait)
		}
		select {
		case <-ctx.Done():
			return
		case <-r.wait:
		case <-later:
		}
	}
}
