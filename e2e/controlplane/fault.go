package controlplane

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"

	"module-controller/e2e/process"
)

// ErrStopped is what a stopped control plane answers.
var ErrStopped = errors.New("the control plane is stopped")

// Kill ends a component at once (SIGKILL), and returns when its process is gone.
func (c *ControlPlane) Kill(component Component) error {
	p, err := c.process(component)
	if err != nil {
		return fmt.Errorf("kill %s: %w", component, err)
	}
	return p.Kill()
}

// freezing is how long a signal takes at most to stop every thread.
const freezing = 5 * time.Second

// Freeze stops a component where it is (SIGSTOP), and returns when its last thread
// has stopped: its connections stay open and nothing answers. Thaw lets it go on.
func (c *ControlPlane) Freeze(component Component) error {
	p, err := c.process(component)
	if err != nil {
		return fmt.Errorf("freeze %s: %w", component, err)
	}
	if err := p.Signal(syscall.SIGSTOP); err != nil {
		return fmt.Errorf("freeze %s: %w", component, err)
	}
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	deadline := time.NewTimer(freezing)
	defer deadline.Stop()
	for {
		if frozen, err := isFrozen(p.PID()); frozen || err != nil {
			return err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return fmt.Errorf("freeze %s: process %d runs on after %s", component, p.PID(), freezing)
		}
	}
}

// Thaw lets a frozen component go on (SIGCONT).
func (c *ControlPlane) Thaw(component Component) error {
	p, err := c.process(component)
	if err != nil {
		return fmt.Errorf("thaw %s: %w", component, err)
	}
	return p.Signal(syscall.SIGCONT)
}

// PID is the process of a component, or 0 while it has none.
func (c *ControlPlane) PID(component Component) int {
	p, err := c.process(component)
	if err != nil || p.Ended() {
		return 0
	}
	return p.PID()
}

// Restart starts a component, which it kills first where it runs, on the same port
// and data, and waits until etcd or the API server serves. An API server serves
// only while etcd does; the others are started and no more.
func (c *ControlPlane) Restart(ctx context.Context, component Component) error {
	if err := c.launch(component); err != nil {
		return err
	}
	if check := c.serving(component); check != nil {
		return c.until(ctx, component, check)
	}
	return nil
}

// launch starts a component's process.
func (c *ControlPlane) launch(component Component) error {
	args, known := c.args[component]
	if !known {
		return fmt.Errorf("start %q: no such component", component)
	}
	c.mu.Lock() // until it is known, or a Stop beside this would miss it
	defer c.mu.Unlock()
	if c.stopped {
		return fmt.Errorf("start %s: %w", component, ErrStopped)
	}
	if old := c.processes[component]; old != nil {
		if err := old.Kill(); err != nil {
			return err
		}
	}
	cmd := exec.Command(filepath.Join(c.binDir, string(component)), args...)
	cmd.Dir = c.dir
	p, err := process.Start(cmd, c.logFile(component))
	if err != nil {
		return err
	}
	c.processes[component] = p
	return nil
}

func (c *ControlPlane) process(component Component) (*process.Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopped {
		return nil, ErrStopped
	}
	p := c.processes[component]
	if p == nil {
		return nil, errors.New("it was never started")
	}
	return p, nil
}

func (c *ControlPlane) logFile(component Component) string {
	return filepath.Join(c.logDir, string(component)+".log")
}
