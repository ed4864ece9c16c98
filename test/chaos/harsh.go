package main

import (
	"context"
	"errors"
	"os"
	"syscall"
	"time"
)

// harsh does the faults that need a machine's own means.
func (s *site) harsh(ctx context.Context, c card) error {
	switch c.fault {
	case cablePulled:
		err := s.far.cable("down")
		s.endure(ctx, c)
		return errors.Join(err, s.far.cable("up"))
	case linkNarrow:
		return s.shaped(ctx, c, "tbf", "rate", "32kbit", "burst", "4000", "latency", "2s")
	case linkLossy:
		return s.shaped(ctx, c, "netem", "delay", "400ms", "100ms", "loss", "5%")
	case diskReadOnly:
		err := s.disk.readOnly()
		s.endure(ctx, c)
		return errors.Join(err, s.reboot(ctx, 0))
	case diskGone:
		err := s.disk.goDown()
		s.endure(ctx, c)
		return errors.Join(err, s.reboot(ctx, 0))
	case powerLoss:
		return errors.Join(s.disk.goDown(), s.reboot(ctx, c.hold))
	case fileTooLarge:
		_, _, pid := s.agent.running()
		err := fileLimit(pid, 4096)
		s.endure(ctx, c)
		return errors.Join(err, fileLimit(pid, 0))
	}
	return errors.New("there is no such fault")
}

func (s *site) shaped(ctx context.Context, c card, how ...string) error {
	err := s.far.shape(how...)
	pause(ctx, c.hold)
	return errors.Join(err, s.far.shape())
}

// reboot is the end of the agent, and a new mount of its file system, which
// plays the journal back.
func (s *site) reboot(ctx context.Context, hold time.Duration) error {
	if err := s.agent.end(syscall.SIGKILL); err != nil {
		return err
	}
	pause(ctx, hold)
	return errors.Join(s.disk.anew(), s.agent.start())
}

// endure holds a fault, and notes how long it takes until the agent names it.
func (s *site) endure(ctx context.Context, c card) {
	if c.named == "" {
		pause(ctx, c.hold)
		return
	}
	start, before := time.Now(), len(s.agent.ownExits())
	after, ok := says(ctx, s.agent, c.named, min(c.hold, c.notice))
	switch {
	case ok:
		s.detected = short(after)
		s.noticed[c.fault] = append(s.noticed[c.fault], after)
	case c.hold >= c.notice:
		s.broke("%s: %s is not named %s in %s", time.Now().Format(stamp), c.fault, c.named, c.notice)
	}
	pause(ctx, c.hold-time.Since(start))
	if n := len(s.agent.ownExits()) - before; n > 0 {
		s.broke("%s: %d exits during %s", time.Now().Format(stamp), n, c.fault)
	}
}

// furnish gives the site what the faults of its mode need, as far as this
// machine has it; allowed tells which of them can be injected.
func (s *site) furnish() error {
	want := map[needs]bool{}
	for _, d := range allFaults() {
		if modes()[s.mode][d.fault] > 0 {
			want[d.needs] = true
		}
	}
	switch {
	case want[needsSmall] && s.small:
		if err := syscall.Mount("tmpfs", s.state, "tmpfs", 0, "size="+smallSize); err != nil {
			return err
		}
		s.unmount, s.size = func() error { return syscall.Unmount(s.state, syscall.MNT_DETACH) }, smallStore()
	case want[needsDisk] && privileged():
		d, err := newDisk(s.dir+"/disk.img", s.state)
		if err != nil {
			return err
		}
		s.disk, s.size = d, smallStore()
		s.unmount = func() error { return syscall.Unmount(s.state, syscall.MNT_DETACH) }
	}
	if (want[needsFar] || want[needsImpair]) && privileged() {
		var err error
		if s.far, err = newFar(); err != nil {
			return err
		}
		s.wrap, s.near = s.far.enter(), nearHost
	}
	return nil
}

// smallStore leaves room on a small disk.
func smallStore() []string { return []string{"--store-max-size", "8MiB"} }

// allowed tells whether a fault can be injected at this site.
func (s *site) allowed(n needs) bool {
	switch n {
	case needsSmall:
		return s.small && s.unmount != nil
	case needsDisk:
		return s.disk != nil
	case needsFar:
		return s.far != nil
	case needsImpair:
		return s.far != nil && s.far.shape("netem", "delay", "1ms") == nil && s.far.shape() == nil
	case needsPrivilege:
		return os.Geteuid() == 0
	}
	return true
}
