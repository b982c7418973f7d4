package lifecycle

import (
	"testing"
	"time"

	"module-controller/tunnel"
)

// What is told of a base's processors adds up: what they did counts for the time since it was
// told before, and what a clock that jumped would take away does not.
func TestProcessorTimeAddsUp(t *testing.T) {
	var s Sight
	told := func(after time.Duration, inUse float64) {
		s.See(tunnel.Report{Received: noon.Add(after), Health: &tunnel.Health{CPUs: 4, CPUsInUse: inUse}})
	}
	for _, c := range []struct {
		after time.Duration
		inUse float64
		want  float64
	}{{0, 3, 0}, {10 * time.Second, 2, 20}, {70 * time.Second, 0.5, 50}, {60 * time.Second, 4, 50}, {61 * time.Second, 0, 50}} {
		told(c.after, c.inUse)
		if s.CPUSeconds != c.want {
			t.Errorf("after %s: %v s, want %v", c.after, s.CPUSeconds, c.want)
		}
	}
	if s.Told != noon.Add(61*time.Second) || s.Health.CPUs != 4 {
		t.Errorf("it sees %+v", s)
	}
}

// A list and a health stay until the next one of their kind.
func TestASightKeepsWhatWasToldLast(t *testing.T) {
	var s Sight
	s.See(tunnel.Report{Listed: true, Modules: []tunnel.Module{{State: tunnel.Activated}}})
	s.See(tunnel.Report{Health: &tunnel.Health{CPUs: 1}})
	s.See(tunnel.Report{Answer: &tunnel.Answer{}})
	if len(s.Modules) != 1 || s.Health == nil {
		t.Errorf("it sees %+v", s)
	}
	s.See(tunnel.Report{Listed: true})
	if len(s.Modules) != 0 || s.Health == nil {
		t.Errorf("after an empty list it sees %+v", s)
	}
}

// What a base's processors do wakes nobody and describes no Node anew.
func TestProcessorsInUseChangeNothing(t *testing.T) {
	busy, idle := tunnel.Health{CPUs: 4, CPUsInUse: 3.5, Uptime: time.Hour}, tunnel.Health{CPUs: 4, Uptime: 2 * time.Hour}
	if !sameHealth(busy, idle) || sameHealth(busy, tunnel.Health{CPUs: 2, CPUsInUse: 3.5}) {
		t.Error("it does")
	}
}
