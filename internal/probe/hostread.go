package probe

import (
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
)

// errNoFigure is a file of the kernel without the figure that should be in it.
var errNoFigure = errors.New("the figure is missing")

// availableMemory reads MemAvailable, in bytes (proc_meminfo(5)).
func availableMemory(file string) (uint64, error) {
	n, err := figure(file, "MemAvailable:")
	if err != nil {
		return 0, err
	}
	return min(n, math.MaxUint64>>10) << 10, nil // the file counts in KiB
}

// usedSockets reads how many sockets there are (proc_net(5), sockstat).
func usedSockets(file string) (uint64, error) { return figure(file, "sockets: used") }

// figure reads the number behind a name at the start of a line.
func figure(file, name string) (uint64, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		rest, ok := strings.CutPrefix(line, name)
		if !ok {
			continue
		}
		fields := strings.Fields(rest)
		if len(fields) == 0 {
			break
		}
		n, err := strconv.ParseUint(fields[0], 10, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s: %w", file, err)
		}
		return n, nil
	}
	return 0, fmt.Errorf("read %s: %s %w", file, name, errNoFigure)
}

func megabytes(n uint64) string { return fmt.Sprintf("%d MiB", n>>20) }
