//go:build !linux

package mqtt

import "syscall"

// setUserTimeout does nothing where the system has no such timeout.
func setUserTimeout(_, _ string, _ syscall.RawConn) error { return nil }

// unsent cannot be told here: the answers that come must do.
func unsent(syscall.RawConn) int { return 0 }
