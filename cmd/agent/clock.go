package main

import (
	"strconv"
	"sync"
	"time"

	"fieldmedic/internal/diagnose"
	"fieldmedic/internal/probe"
)

// builtAt is when the program was made, in seconds since 1970, set by the linker;
// empty in a plain `go build`. No clock that is right shows a time before it.
var builtAt string //nolint:gochecknoglobals // the linker can set nothing else

// buildDate is builtAt as a time; zero when it is not known.
func buildDate() time.Time {
	seconds, err := strconv.ParseInt(builtAt, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(seconds, 0)
}

// syncedEvery is how long the kernel's word that its clock is in step is
// believed: asking is a system call, and turns are many.
const syncedEvery = time.Second

// gatewayClock is the gateway's clock made safe: see diagnose.Watch. Several
// read it; a jump is told once, to the loop.
type gatewayClock struct {
	mu      sync.Mutex
	watch   *diagnose.Watch
	started time.Time // its monotonic reading is what time is measured by
	step    time.Duration
	synced  bool
	asked   time.Time
}

// newGatewayClock takes the newest time that the store knows: the present
// cannot be before it.
func newGatewayClock(newest time.Time) *gatewayClock {
	floor := newest
	if b := buildDate(); b.After(floor) {
		floor = b
	}
	return &gatewayClock{watch: diagnose.NewWatch(floor), started: time.Now()}
}

func (c *gatewayClock) read() diagnose.ClockReading {
	now := time.Now()
	if c.asked.IsZero() || now.Sub(c.asked) >= syncedEvery {
		c.synced, c.asked = probe.KernelSynced(), now
	}
	// Without its monotonic part, for that is what it is compared by.
	r := c.watch.Read(now.Round(0), now.Sub(c.started), c.synced)
	c.step += r.Step
	return r
}

// reading is for the loop, which is told of each jump once.
func (c *gatewayClock) reading() diagnose.ClockReading {
	c.mu.Lock()
	defer c.mu.Unlock()
	r := c.read()
	r.Step, c.step = c.step, 0
	return r
}

// now is the time, as far as it can be known.
func (c *gatewayClock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read().Now
}

// suspect tells that the clock jumped of late, or was never set.
func (c *gatewayClock) suspect() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.read().Suspect
}
