package process

import (
	"cmp"
	"syscall"
)

// ownGroup lets a process be ended with all its children, and be killed when the
// thread that started it ends. attributes are its others, or nil.
func ownGroup(attributes *syscall.SysProcAttr) *syscall.SysProcAttr {
	attributes = cmp.Or(attributes, &syscall.SysProcAttr{})
	attributes.Setpgid, attributes.Pdeathsig = true, syscall.SIGKILL
	return attributes
}
