//go:build unix && !linux

package javabase

import "syscall"

// ownGroup lets a process be ended with all its children.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
