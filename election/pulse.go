package election

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"
)

// stuckAfter is how long a loop may go round once. Each of its requests has a timeout, so a
// slow or absent API server takes no loop that long.
const stuckAfter = time.Minute

// The loops.
const (
	loopMembership = "membership" // renews this session's own Lease
	loopBases      = "bases"      // claims, renews and hands over bases
	loopMembers    = "members"    // watches whether the others live
)

// pulse shows which loops go round. Its zero value has none.
type pulse struct {
	mu sync.Mutex
	// mu guards what follows
	last map[string]time.Time // by loop that runs: when it went round
}

// beat notes that a loop goes round.
func (p *pulse) beat(loop string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.last == nil {
		p.last = map[string]time.Time{}
	}
	p.last[loop] = time.Now()
}

// ends notes that a loop has ended.
func (p *pulse) ends(loop string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.last, loop)
}

// stuck names the loops that do not go round.
func (p *pulse) stuck(now time.Time) (loops []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, loop := range slices.Sorted(maps.Keys(p.last)) {
		if now.Sub(p.last[loop]) > stuckAfter {
			loops = append(loops, loop)
		}
	}
	return loops
}

// Stuck gives nil while the loops go round that keep this session's Leases, watch the others
// and work on bases, else which do not: only a restart helps then. That requests fail or take
// long is no reason.
func (r *Replica) Stuck() error {
	if loops := r.pulse.stuck(time.Now()); len(loops) > 0 {
		return fmt.Errorf("for more than %s no turn of: %s", stuckAfter, strings.Join(loops, ", "))
	}
	return nil
}
