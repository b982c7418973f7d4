package harness

import (
	"fmt"
	"time"

	"github.com/prometheus/procfs"
)

// Usage is what a process uses.
type Usage struct {
	// CPU is the time that it used since its start.
	CPU time.Duration
	// Resident is its memory now, in bytes.
	Resident int
}

// UsageOf gives what a process uses, by /proc.
func UsageOf(pid int) (Usage, error) {
	p, err := procfs.NewProc(pid)
	if err != nil {
		return Usage{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	s, err := p.Stat()
	if err != nil {
		return Usage{}, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return Usage{CPU: time.Duration(s.CPUTime() * float64(time.Second)), Resident: s.ResidentMemory()}, nil
}
