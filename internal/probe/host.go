package probe

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"
)

// HostOptions of the host probe.
type HostOptions struct {
	// Proc is where the kernel's figures are; "": /proc.
	Proc string
	// MinMemory, in bytes, is what must be available; 0: 16 MiB.
	MinMemory uint64
}

const (
	usualMinMemory = 16 << 20
	// maxDescriptors, in percent of the limit: above, the next few connections
	// may fail.
	maxDescriptors = 95
)

type hostProbe struct {
	proc      string
	minMemory uint64
	limit     func() (uint64, error)
	idle      func() (uint64, error)
	open      func() error
}

// NewHost looks whether this machine has what a program needs to talk to the
// network: file descriptors, memory, sockets. Its answers:
//
//	ok         whatever could be seen is there
//	exhausted  something is used up, or nearly so
//
// It says nothing about a phone or a device. What is hidden from the service
// (ProcSubset=pid hides /proc/meminfo) is named as not seen.
func NewHost(o HostOptions) Func {
	return newHost(o).probe
}

func newHost(o HostOptions) *hostProbe {
	if o.Proc == "" {
		o.Proc = "/proc"
	}
	if o.MinMemory == 0 {
		o.MinMemory = usualMinMemory
	}
	return &hostProbe{proc: o.Proc, minMemory: o.MinMemory, limit: descriptorLimit, idle: idleMemory, open: openSocket}
}

// part is one thing that a machine can run out of.
type part struct {
	seen            string
	unknown, lacked bool
}

func (p *hostProbe) probe(ctx context.Context, _ Target) Answer {
	const target = "this machine"
	if ctx.Err() != nil {
		return cannotTell(Host, target, "stopped", good(Host))
	}
	parts := []part{p.descriptors(), p.available(), p.sockets()}
	var seen []string
	unknown, lacked := 0, false
	for _, one := range parts {
		seen = append(seen, one.seen)
		lacked = lacked || one.lacked
		if one.unknown {
			unknown++
		}
	}
	text := strings.Join(seen, "; ")
	switch {
	case lacked:
		return found(Host, target, "exhausted", text, good(Host))
	case unknown == len(parts):
		return cannotTell(Host, target, text, good(Host))
	}
	return found(Host, target, "ok", text, good(Host))
}

// descriptors compares what this process has open with what it may.
func (p *hostProbe) descriptors() part {
	limit, err := p.limit()
	if err != nil {
		return part{seen: "descriptors not seen: " + err.Error(), unknown: true}
	}
	used, err := countEntries(p.proc + "/self/fd")
	if isExhausted(err) {
		return part{seen: fmt.Sprintf("no descriptor left of %d", limit), lacked: true}
	}
	if err != nil {
		return part{seen: "descriptors not seen: " + err.Error(), unknown: true}
	}
	return part{
		seen:   fmt.Sprintf("%d of %d descriptors", used, limit),
		lacked: float64(used) >= float64(limit)*maxDescriptors/100,
	}
}

// available is the memory that programs can still have.
func (p *hostProbe) available() part {
	free, err := availableMemory(p.proc + "/meminfo")
	if err == nil {
		return part{seen: megabytes(free) + " memory available", lacked: free < p.minMemory}
	}
	// The system call knows what lies idle, but not what could be freed.
	idle, sysErr := p.idle()
	if sysErr == nil && idle >= p.minMemory {
		return part{seen: "at least " + megabytes(idle) + " memory available"}
	}
	return part{seen: "memory not seen: " + err.Error(), unknown: true}
}

// sockets tries to open one, and counts those of the machine.
func (p *hostProbe) sockets() part {
	// The counts are for the reader: which number is too many depends on limits
	// that may be hidden.
	count := ""
	if n, err := usedSockets(p.proc + "/self/net/sockstat"); err == nil {
		count = fmt.Sprintf(", %d in use", n)
	}
	err := p.open()
	switch {
	case err == nil:
		return part{seen: "a socket can be opened" + count}
	case isExhausted(err):
		return part{seen: "no socket left (" + err.Error() + ")" + count, lacked: true}
	}
	return part{seen: "sockets not seen: " + err.Error() + count, unknown: true}
}

// openSocket opens one on loopback, which needs a descriptor, kernel memory and
// a free port, and closes it.
func openSocket() error {
	c, err := net.ListenPacket("udp4", "127.0.0.1:0")
	if errors.Is(err, syscall.EAFNOSUPPORT) || errors.Is(err, syscall.EADDRNOTAVAIL) {
		c, err = net.ListenPacket("udp6", "[::1]:0")
	}
	if err != nil {
		return fmt.Errorf("open a socket: %w", err)
	}
	return c.Close()
}

// isExhausted knows the errors of a machine, or process, that has no more.
func isExhausted(err error) bool {
	for _, e := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRINUSE} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

func countEntries(dir string) (int, error) {
	d, err := os.Open(dir)
	if err != nil {
		return 0, err
	}
	defer func() { _ = d.Close() }() // it was only read
	names, err := d.Readdirnames(-1)
	if err != nil {
		return 0, err
	}
	return len(names) - 1, nil // one of them is the directory itself
}
