//go:build !linux

package process

import (
	"cmp"
	"syscall"
)

func ownGroup(attributes *syscall.SysProcAttr) *syscall.SysProcAttr {
	attributes = cmp.Or(attributes, &syscall.SysProcAttr{})
	attributes.Setpgid = true
	return attributes
}
