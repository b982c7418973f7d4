// Package process starts programs as children that cannot outlive the test: the
// kernel kills each with the thread that started it, and each has a process group
// of its own, which is ended whole.
package process

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"syscall"
	"time"
)

// A Process is one run of a program.
type Process struct {
	pid  int
	done chan struct{} // closed when it has ended
	err  error         // how it ended; read it after done
}

// Start starts cmd with its output going to the file log, appended, unless cmd has
// outputs already.
func Start(cmd *exec.Cmd, log string) (*Process, error) {
	if log != "" {
		f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
		}
		defer func() { _ = f.Close() }() // the process has a descriptor of its own
		cmd.Stdout, cmd.Stderr = f, f
	}
	cmd.SysProcAttr = ownGroup(cmd.SysProcAttr)
	p := &Process{done: make(chan struct{})}
	started := make(chan error, 1)
	// The thread lives as long as the process: the kernel ends the process with the
	// thread that started it, not with ours.
	go func() {
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := cmd.Start()
		started <- err
		if err == nil {
			p.err = cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", cmd.Path, err)
	}
	p.pid = cmd.Process.Pid
	return p, nil
}

// Run runs cmd to its end, and ends it and its children with ctx.
func Run(ctx context.Context, cmd *exec.Cmd) error {
	p, err := Start(cmd, "")
	if err != nil {
		return err
	}
	select {
	case <-p.Done():
		return p.Err()
	case <-ctx.Done():
		return errors.Join(context.Cause(ctx), p.Kill())
	}
}

// Output runs cmd as Run does, and gives what it printed. An error has all that it said.
func Output(ctx context.Context, cmd *exec.Cmd) (string, error) {
	var out, said bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &said
	if err := Run(ctx, cmd); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out.Bytes(), said.Bytes())
	}
	return out.String(), nil
}

// PID is the process's id.
func (p *Process) PID() int { return p.pid }

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is how the process ended; it waits for that.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Ended says whether the process has ended.
func (p *Process) Ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// Signal sends a signal to the process alone.
func (p *Process) Signal(s syscall.Signal) error {
	if err := syscall.Kill(p.pid, s); err != nil {
		return fmt.Errorf("signal process %d: %w", p.pid, err)
	}
	return nil
}

// Kill ends the process and its children at once, and waits for its end.
func (p *Process) Kill() error {
	if !p.Ended() {
		if err := syscall.Kill(-p.pid, syscall.SIGKILL); err != nil && !errors.Is(err, syscall.ESRCH) && !p.Ended() {
			return fmt.Errorf("kill process %d: %w", p.pid, err)
		}
	}
	<-p.done
	return nil
}

// lastWords is how long a process has to say where it hangs.
const lastWords = 2 * time.Second

// Stop asks the process to end. After timeout it is asked to say where it hangs, by
// SIGQUIT, on which Go programs write all their stacks, and is killed.
func (p *Process) Stop(timeout time.Duration) error {
	if p.Ended() {
		return nil
	}
	if err := syscall.Kill(p.pid, syscall.SIGTERM); err != nil && !errors.Is(err, syscall.ESRCH) {
		return fmt.Errorf("stop process %d: %w", p.pid, err)
	}
	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-p.done:
		return nil
	case <-timer.C:
	}
	err := fmt.Errorf("process %d did not end within %s of SIGTERM", p.pid, timeout)
	if p.Signal(syscall.SIGQUIT) == nil {
		select {
		case <-p.done:
		case <-time.After(lastWords):
		}
	}
	return errors.Join(err, p.Kill())
}
