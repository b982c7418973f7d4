package plan

import "time"

// leavesAt is when the modules of a terminating pod may be uninstalled: once what the pod
// asks to wait for has passed, and never after its grace.
func leavesAt(Pod) time.Time { return time.Time{} }
