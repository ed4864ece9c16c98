//go:build !linux

package probe

import (
	"errors"
	"fmt"
	"net/netip"
)

// The kernel's tables are read on Linux, which gateways run. Elsewhere these
// probes cannot tell.

func readNeighbours(netip.Addr) ([]neighbour, error) {
	return nil, fmt.Errorf("read the neighbour table: %w", errors.ErrUnsupported)
}

func readDefaults() ([]hop, error) {
	return nil, fmt.Errorf("read the routes: %w", errors.ErrUnsupported)
}

func descriptorLimit() (uint64, error) {
	return 0, fmt.Errorf("read the limit: %w", errors.ErrUnsupported)
}

func idleMemory() (uint64, error) {
	return 0, fmt.Errorf("read the memory: %w", errors.ErrUnsupported)
}
