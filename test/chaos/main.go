// Command chaos breaks the agent's world on purpose and counts what is lost.
//
// Devices send reports with unique ids, and send them again until a real
// Mosquitto acknowledges them; the agent runs as a process behind a proxy; an
// app with a persistent session receives its events. Meanwhile processes are
// killed and frozen, connections cut and slowed down, the disk is filled, and
// files of the store are damaged, by a seed. At the end the ids are compared.
//
//	go run ./test/chaos -short                     three seeds, under eight minutes
//	go run ./test/chaos -mode proxy -for 30m       one mode for longer
//	go run ./test/chaos -seed 7 -mode all          one seed again
//	go run ./test/chaos -short -write docs/reliability.md
//
// It ends with 1 where a promise did not hold. It is not part of the product.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
)

// settings are the flags.
type settings struct {
	short, keep                bool
	during                     time.Duration
	mode, keeps, binary, write string
	seed                       uint64
	rate, trials               int
}

const (
	// shortSeeds, shortFaults and shortTime make the short form: at least 3,000
	// ids and 60 faults in eight minutes.
	shortSeeds  = 3
	shortFaults = 22
	shortTime   = 115 * time.Second
	// modeTrials is the mode that damages stores at rest.
	modeTrials = "store-damage"
)

func main() {
	var s settings
	names := append(slices.Sorted(maps.Keys(modes())), modeTrials)
	flag.BoolVar(&s.short, "short", false, "three seeds and a few faults of each kind, under eight minutes")
	flag.DurationVar(&s.during, "for", 2*time.Minute, "how long faults are injected, for each seed")
	flag.StringVar(&s.mode, "mode", "all", strings.Join(names, "|"))
	flag.Uint64Var(&s.seed, "seed", 0, "the plan's seed (default: of the clock)")
	flag.StringVar(&s.keeps, "persistence", "", "of the broker: changes|none|default (default: by turns)")
	flag.IntVar(&s.rate, "rate", 25, "reports a second")
	flag.IntVar(&s.trials, "trials", 5, "trials of each kind in mode "+modeTrials)
	flag.StringVar(&s.binary, "agent", "", "the agent's binary (default: built for this run)")
	flag.StringVar(&s.write, "write", "", "put the tables between the marks of this `file`")
	flag.BoolVar(&s.keep, "keep", false, "keep the directories with the logs")
	flag.Parse()
	if s.seed == 0 {
		s.seed = uint64(time.Now().Unix()) //nolint:gosec // the clock is not before 1970
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx)
	stop()
	if err != nil {
		fmt.Fprintf(os.Stderr, "chaos: seed %d: %v\n", s.seed, err)
		os.Exit(1)
	}
}

func (s *settings) run(ctx context.Context) error {
	if _, ok := modes()[s.mode]; !ok && s.mode != modeTrials {
		return fmt.Errorf("there is no mode %q", s.mode)
	}
	if _, ok := persistence()[s.keeps]; !ok && s.keeps != "" {
		return fmt.Errorf("there is no persistence %q", s.keeps)
	}
	fmt.Printf("seed %d, mode %s\n", s.seed, s.mode)
	dir, err := os.MkdirTemp("", "fieldmedic-chaos-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	if s.binary == "" {
		s.binary = filepath.Join(dir, "fieldmedic")
		build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", s.binary, "./cmd/agent") //nolint:gosec // our own
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("build the agent: %w: %s", err, out)
		}
	}
	smallOK := mountable(dir)
	results, err := s.runs(ctx, smallOK == nil)
	if err != nil {
		return err
	}
	var trials []tally
	if s.mode == modeTrials || s.short && s.mode == "all" {
		if trials, err = damageTrials(ctx, s.binary, s.seed, s.trials); err != nil {
			return err
		}
	}
	var skipped []string
	if smallOK != nil {
		skipped = append(skipped, fmt.Sprintf("| 10 disk full | %v |", smallOK))
	}
	text := tables(results, trials, skipped)
	fmt.Print("\n", text)
	if s.write != "" {
		if err := writeBetween(s.write, text); err != nil {
			return err
		}
	}
	return verdict(results, trials)
}

// runs are those under load, one for each seed.
func (s *settings) runs(ctx context.Context, smallOK bool) ([]result, error) {
	if s.mode == modeTrials {
		return nil, nil
	}
	p := plan{binary: s.binary, mode: s.mode, rate: s.rate, during: s.during, patience: 90 * time.Second, keep: s.keep}
	seeds := uint64(1)
	if s.short {
		seeds, p.faults, p.during, p.patience = shortSeeds, shortFaults, shortTime, 20*time.Second
	}
	var results []result
	for i := range seeds {
		p.seed, p.keeps = s.seed+i, s.keeps
		if p.keeps == "" {
			p.keeps = []string{"changes", "none", "default"}[p.seed%3]
		}
		// A file system in memory syncs for nothing: where the disk is not what
		// is disturbed, the state lies on a real one.
		p.small = smallOK && modes()[s.mode][diskFull] > 0 && (!s.short || i == 1)
		r, err := run(ctx, p)
		if err != nil {
			return results, fmt.Errorf("run with seed %d: %w", p.seed, err)
		}
		fmt.Printf("seed %d, %s, persistence %s: %d ids, %d faults in %s\n", p.seed, p.mode, p.keeps, r.sent, len(r.faults), r.took.Round(time.Second))
		for _, line := range slices.Concat(r.failures(), r.evidence, first(r.exits), first(r.disorder), first(r.wrong)) {
			fmt.Println("  " + line)
		}
		results = append(results, r)
	}
	return results, nil
}

func first(list []string) []string { return list[:min(len(list), shownAtMost)] }

// mountable tells why no small file system can be mounted, or nil.
func mountable(dir string) error {
	at := filepath.Join(dir, "mount")
	if err := os.Mkdir(at, 0o700); err != nil {
		return err
	}
	if err := syscall.Mount("tmpfs", at, "tmpfs", 0, "size=1m"); err != nil {
		return fmt.Errorf("mounting a small file system is not permitted (%w); run it as root", err)
	}
	return syscall.Unmount(at, 0)
}

// verdict is an error where a promise did not hold.
func verdict(results []result, trials []tally) error {
	var broken []error
	for i := range results {
		for _, line := range results[i].failures() {
			broken = append(broken, fmt.Errorf("seed %d: %s", results[i].seed, firstLine(line)))
		}
	}
	for i := range trials {
		for _, line := range trials[i].failures() {
			broken = append(broken, errors.New(line))
		}
	}
	if len(broken) == 0 {
		return nil
	}
	return fmt.Errorf("%d promises did not hold:\n%w", len(broken), errors.Join(broken...))
}
