package oneproc

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// Timers that are due at once, in many goroutines of a bubble. On several processors the
// race detector ends the process within a second.
func TestTimersOfABubbleThatAreDueAtOnce(t *testing.T) {
	for range 100 {
		synctest.Test(t, func(*testing.T) {
			var all sync.WaitGroup
			for range 4 {
				all.Go(func() {
					for range 200 {
						<-time.After(0)
					}
				})
			}
			all.Wait()
		})
	}
}
