//go:build unix && !linux

package pglocal

import "syscall"

// signalOnParentDeath does nothing where the kernel has no such signal: a
// server whose parent was killed keeps running, and the next Start on its
// data names its process id.
func signalOnParentDeath(*syscall.SysProcAttr, syscall.Signal) {}
