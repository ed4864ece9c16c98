package probe

import (
	"fmt"

	"golang.org/x/sys/unix"
)

// descriptorLimit is how many descriptors this process may have.
func descriptorLimit() (uint64, error) {
	var r unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &r); err != nil {
		return 0, fmt.Errorf("read the limit: %w", err)
	}
	return r.Cur, nil
}

// idleMemory is what no one uses, in bytes: less than what is available.
func idleMemory() (uint64, error) {
	var i unix.Sysinfo_t
	if err := unix.Sysinfo(&i); err != nil {
		return 0, fmt.Errorf("read the memory: %w", err)
	}
	return (uint64(i.Freeram) + uint64(i.Bufferram)) * uint64(i.Unit), nil //nolint:unconvert // on 32 bits they are smaller
}
