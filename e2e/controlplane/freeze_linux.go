package controlplane

import (
	"errors"
	"fmt"

	"golang.org/x/sys/unix"
)

// isFrozen reports whether a child has stopped with all of its threads. It takes
// nothing from whoever waits for the child's end.
func isFrozen(pid int) (bool, error) {
	var found unix.Siginfo
	err := unix.Waitid(unix.P_PID, pid, &found, unix.WSTOPPED|unix.WNOHANG|unix.WNOWAIT, nil)
	if errors.Is(err, unix.EINTR) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ask whether process %d has stopped: %w", pid, err)
	}
	return found.Signo == int32(unix.SIGCHLD), nil
}
