// Package watchlag measures how far behind a watch of the API server is. A replica knows what
// it wrote itself, and by its own clock when the API server had answered: until its watch of
// that resource shows the change, or a later one, the watch is behind by as much. No clock of
// others counts.
//
// It guarantees that a watch which shows nothing more is seen to be behind from the next write
// of this replica on, and by how long.
//
// It does not guarantee that a lag is seen while this replica writes nothing of the resource,
// and of a lag that lasts it sees as much as there is between the last writes that are not
// shown: with a write a second, a second too little at most.
package watchlag

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/util/resourceversion"
)

const (
	// apart is how long after another one a write is noted: many come at a time.
	apart = 100 * time.Millisecond
	// most is how many writes are noted that are not shown. The oldest counts.
	most = 1024
)

// Lag is that of one watch. The zero value follows none yet. It may be used from any
// goroutine, and no method blocks.
type Lag struct {
	mu sync.Mutex
	// mu guards what follows
	shown  func() string
	writes []write // that are not known to be shown, in the order of their versions
}

// write is one of this replica's own.
type write struct {
	version string
	at      time.Time // when the API server had answered
}

// Follow has the lag be that of a watch from now on. Shown gives the resource version that
// the watch has shown last; empty before the first.
func (l *Lag) Follow(shown func() string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.shown, l.writes = shown, nil
}

// Wrote takes in that the API server had answered a write at a time: the watch is to show
// that version. What is written before Follow does not count.
func (l *Lag) Wrote(version string, now time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown == nil {
		return
	}
	l.drop()
	if n := len(l.writes); n == 0 || n < most && now.Sub(l.writes[n-1].at) >= apart {
		l.writes = append(l.writes, write{version, now})
	}
}

// At gives how long before a time the oldest write was answered that the watch has not shown;
// 0 where it has shown all.
func (l *Lag) At(now time.Time) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.shown == nil {
		return 0
	}
	l.drop()
	if len(l.writes) == 0 {
		return 0
	}
	return max(now.Sub(l.writes[0].at), 0)
}

// drop forgets the writes that are shown: a watch shows the changes of a resource in the order
// of their versions. The caller holds mu.
func (l *Lag) drop() {
	shown, n := l.shown(), 0
	for n < len(l.writes) && reached(shown, l.writes[n].version) {
		n++
	}
	if l.writes = l.writes[n:]; len(l.writes) == 0 {
		l.writes = nil
	}
}

// reached says whether a version is another one, or later. One that is no version proves
// nothing, but for what is to be reached: that cannot be waited for.
func reached(shown, version string) bool {
	if _, err := resourceversion.CompareResourceVersion(version, version); err != nil {
		return true
	}
	order, err := resourceversion.CompareResourceVersion(shown, version)
	return err == nil && order >= 0
}
