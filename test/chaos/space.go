package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// Root runs the harness in a network and a mount namespace of its own: what it
// takes down or fills is nobody else's, and is gone with it.

// insideFlag says that the program is already in its namespaces.
const insideFlag = "-inside"

// privileged tells whether namespaces of our own can be had.
func privileged() bool { return os.Geteuid() == 0 }

// moveIn starts this program again in namespaces of its own, and answers how
// that one ended. A signal to this one ends that one in order.
func moveIn(ctx context.Context, binary string, seed uint64) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	args := slices.Concat([]string{insideFlag}, os.Args[1:], []string{"-agent", binary, "-seed", strconv.FormatUint(seed, 10)})
	cmd := exec.CommandContext(ctx, self, args...) //nolint:gosec // this very program
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{
		Unshareflags: syscall.CLONE_NEWNS | syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGTERM,
		Setpgid: true, // a Ctrl-C comes once, from here
	}
	return cmd.Run()
}

// settleIn makes the new namespace usable: loopback is down in it.
func settleIn() error { return run1("ip", "link", "set", "lo", "up") }

// run1 runs one command of the system.
func run1(name string, args ...string) error {
	out, err := exec.Command(name, args...).CombinedOutput() //nolint:gosec // commands of this program
	if err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// far is a network namespace for the agent, one cable away from the broker.
type far struct {
	holder *exec.Cmd
}

const (
	nearLink, farLink = "chaos0", "chaos1"
	nearHost, farHost = "10.77.0.1", "10.77.0.2"
)

// newFar makes it. A process that sleeps holds it while the agent is down.
func newFar() (*far, error) {
	f := &far{holder: exec.Command("sleep", "infinity")}
	f.holder.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := f.holder.Start(); err != nil {
		return nil, fmt.Errorf("make a network namespace: %w", err)
	}
	steps := [][]string{
		{"ip", "link", "add", nearLink, "type", "veth", "peer", "name", farLink, "netns", strconv.Itoa(f.holder.Process.Pid)},
		{"ip", "addr", "add", nearHost + "/30", "dev", nearLink},
		{"ip", "link", "set", nearLink, "up"},
		append(f.enter(), "ip", "addr", "add", farHost+"/30", "dev", farLink),
		append(f.enter(), "ip", "link", "set", farLink, "up"),
		append(f.enter(), "ip", "link", "set", "lo", "up"),
	}
	for _, s := range steps {
		if err := run1(s[0], s[1:]...); err != nil {
			return nil, errors.Join(err, f.close())
		}
	}
	return f, nil
}

// enter is the beginning of a command that is to run in it.
func (f *far) enter() []string {
	return []string{"nsenter", "-t", strconv.Itoa(f.holder.Process.Pid), "-n", "--"}
}

// cable takes the link down or up: no side is told, as when a plug is pulled
// behind a switch.
func (f *far) cable(state string) error { return run1("ip", "link", "set", nearLink, state) }

// shape makes both directions of the link bad, or good again for no arguments.
func (f *far) shape(how ...string) error {
	var errs []error
	for _, end := range [][]string{{}, f.enter()} {
		link := nearLink
		if len(end) > 0 {
			link = farLink
		}
		words := append(end, "tc", "qdisc", "del", "dev", link, "root")
		if len(how) > 0 {
			words = append(append(end, "tc", "qdisc", "add", "dev", link, "root"), how...)
		}
		errs = append(errs, run1(words[0], words[1:]...))
	}
	return errors.Join(errs...)
}

// close ends the namespace, and with it the cable.
func (f *far) close() error {
	err := f.holder.Process.Kill()
	_ = f.holder.Wait() // it was killed
	return err
}

// cage is a memory cgroup for the agent.
type cage struct{ dir string }

// newCage makes one with a limit in bytes, by version 1 or 2, whichever is
// there.
func newCage(limit int64) (*cage, error) {
	var errs []error
	for _, v := range []struct{ dir, file string }{
		{"/sys/fs/cgroup/memory/", "memory.limit_in_bytes"},
		{"/sys/fs/cgroup/", "memory.max"},
	} {
		c := &cage{dir: v.dir + "fieldmedic-chaos-" + strconv.Itoa(os.Getpid())}
		err := os.Mkdir(c.dir, 0o755)
		if err == nil {
			err = os.WriteFile(c.dir+"/"+v.file, []byte(strconv.FormatInt(limit, 10)), 0o600)
			if err == nil {
				return c, nil
			}
			err = errors.Join(err, c.close())
		}
		errs = append(errs, err)
	}
	return nil, fmt.Errorf("make a memory cgroup: %w", errors.Join(errs...))
}

// enter is the beginning of a command that is to run in it.
func (c *cage) enter() []string {
	return []string{"sh", "-c", `echo $$ >"$0/cgroup.procs" && exec "$@"`, c.dir}
}

// kills tells how often the kernel ended a process for memory; -1 where it does
// not say.
func (c *cage) kills() int {
	for _, name := range []string{"memory.oom_control", "memory.events"} {
		content, err := os.ReadFile(c.dir + "/" + name)
		if err != nil {
			continue
		}
		for row := range strings.SplitSeq(string(content), "\n") {
			if value, ok := strings.CutPrefix(row, "oom_kill "); ok {
				if n, err := strconv.Atoi(value); err == nil {
					return n
				}
			}
		}
	}
	return -1
}

// most is the most memory that was in it, in MiB, page cache included; 0 where
// the kernel does not say.
func (c *cage) most() float64 {
	for _, name := range []string{"memory.max_usage_in_bytes", "memory.peak"} {
		if content, err := os.ReadFile(c.dir + "/" + name); err == nil {
			if n, err := strconv.ParseFloat(strings.TrimSpace(string(content)), 64); err == nil {
				return n / (1 << 20)
			}
		}
	}
	return 0
}

func (c *cage) close() error { return os.Remove(c.dir) }
