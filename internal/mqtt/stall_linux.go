package mqtt

import (
	"fmt"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// userTimeout is how long sent bytes may stay without an acknowledgement of the
// peer's system: the kernel then ends the connection, where it would go on for
// a quarter of an hour (tcp(7), TCP_USER_TIMEOUT).
const userTimeout = 20 * time.Second

// setUserTimeout is the Control of a dialer. Where it fails the connection is
// watched all the same.
func setUserTimeout(_, _ string, raw syscall.RawConn) error {
	var failed error
	err := raw.Control(func(fd uintptr) {
		failed = unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
	})
	if err == nil {
		err = failed
	}
	if err != nil {
		return fmt.Errorf("set TCP_USER_TIMEOUT: %w", err)
	}
	return nil
}

// unsent is how many bytes wait in the socket, or for the acknowledgement of
// the peer's system; 0 where it cannot be told.
func unsent(raw syscall.RawConn) int {
	if raw == nil {
		return 0
	}
	n := 0
	err := raw.Control(func(fd uintptr) {
		if queued, err := unix.IoctlGetInt(int(fd), unix.SIOCOUTQ); err == nil {
			n = queued
		}
	})
	if err != nil {
		return 0 // it is closed
	}
	return n
}
