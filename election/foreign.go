package election

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"go.uber.org/zap"
)

const (
	// tellForeignEvery is how often it is told that bases are somebody else's.
	tellForeignEvery = time.Minute
	// tellForeignAfter is how soon after a session began.
	tellForeignAfter = 10 * time.Second
)

// Foreign says how many bases another controller or installation holds, which this
// replica stands by for, and who they are: the namespaces of installations, and the
// holders that say no installation.
func (r *Replica) Foreign() (bases int, by []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	who := map[string]bool{}
	for _, key := range r.state.Foreign() {
		bases++
		if l := r.bases[key]; l != nil {
			seen := parse(l)
			who[cmp.Or(seen.Installation, seen.Holder)] = true
		}
	}
	return bases, slices.Sorted(maps.Keys(who))
}

// tellOrphans warns of bases that nobody can be given when this replica ends.
func (r *Replica) tellOrphans() {
	r.mu.Lock()
	orphans := r.state.Orphans()
	others := r.state.Count(time.Now()).Members > 1
	r.mu.Unlock()
	if !others { // the installation ends
		return
	}
	for env, bases := range orphans {
		r.log.Warn("no other member serves this environment: its bases are left alone, and their Nodes turn NotReady",
			zap.String("environment", env), zap.Int("bases", bases))
	}
}

// tellForeign warns of bases that somebody else holds, and gives when to look again.
func (r *Replica) tellForeign(due time.Time) (next time.Time) {
	now := time.Now()
	if now.Before(due) {
		return due
	}
	next = now.Add(tellForeignEvery)
	bases, by := r.Foreign()
	if bases == 0 {
		return next
	}
	const named = 5
	r.log.Warn("standing by: bases are held by another installation or controller; stop one of the two, or have them serve different environments",
		zap.Int("bases", bases), zap.Strings("by", by[:min(len(by), named)]), zap.String("installation", r.cfg.Namespace))
	return next
}
