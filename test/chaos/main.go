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
//	go run ./test/chaos -mode store-damage -trials 1000
//	go run ./test/chaos -mode matrix               the faults that are staged once
//	go run ./test/chaos -mode load -for 1h         ten times the rated load
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
	short, keep, inside        bool
	during                     time.Duration
	mode, keeps, binary, write string
	seed                       uint64
	rate, trials               int
	scale                      float64
	set                        map[string]bool // given on the command line
}

// Modes that are no faults by seed.
const (
	modeTrials = "store-damage"
	// modeAll and modeAgentKills are those of the short form, with
	// modeBrokerKills.
	modeAll         = "all"
	modeAgentKills  = "agent-kills"
	modeBrokerKills = "broker-and-agent-kills"
)

// shortForm is three seeds: together at least 3,000 ids and 60 faults in less
// than eight minutes.
func shortForm() []plan {
	return []plan{
		{mode: modeAgentKills, faults: 24, ids: shortIDs},
		{mode: modeBrokerKills, faults: 20, ids: shortIDs},
		{mode: modeAll, faults: 20, ids: shortIDs},
	}
}

const (
	shortIDs      = 1050 // of each seed
	shortTime     = 2 * time.Minute
	shortPatience = 20 * time.Second
	shortTrials   = 15
)

func main() {
	s := settings{set: map[string]bool{}}
	flag.BoolVar(&s.short, "short", false, "three seeds and a few trials of damage, under eight minutes")
	flag.DurationVar(&s.during, "for", 0, "how long faults are injected (2m), load lasts (1h), or a flood (1m)")
	flag.StringVar(&s.mode, "mode", modeAll, strings.Join(allModes(), "|"))
	flag.Uint64Var(&s.seed, "seed", 0, "the plan's seed (default: of the clock)")
	flag.StringVar(&s.keeps, "persistence", "", "of the broker: changes|none|default (default: by turns)")
	flag.IntVar(&s.rate, "rate", 0, "reports a second (25; under load 10000)")
	flag.IntVar(&s.trials, "trials", 0, "trials of each kind of damage (100; in the short form 15)")
	flag.Float64Var(&s.scale, "scale", 1, "of the counts that staged faults have, to try them out")
	flag.StringVar(&s.binary, "agent", "", "the agent's binary (default: built for this run)")
	flag.StringVar(&s.write, "write", "", "put the tables between the marks of this `file`")
	flag.BoolVar(&s.keep, "keep", false, "keep the directories with the logs")
	flag.BoolVar(&s.inside, strings.TrimPrefix(insideFlag, "-"), false, "internal: it is in namespaces of its own already")
	flag.Parse()
	flag.Visit(func(f *flag.Flag) { s.set[f.Name] = true })
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := s.run(ctx)
	stop()
	var exit *exec.ExitError
	switch {
	case errors.As(err, &exit) && !s.inside: // it said why
		os.Exit(max(1, exit.ExitCode()))
	case err != nil:
		fmt.Fprintf(os.Stderr, "chaos: seed %d: %v\n", s.seed, err)
		os.Exit(1)
	}
}

func allModes() []string {
	return slices.Concat(slices.Sorted(maps.Keys(modes())), []string{modeTrials, modeLoad}, scenarioModes())
}

// complete checks the flags, and fills in what was not given.
func (s *settings) complete() error {
	if !slices.Contains(allModes(), s.mode) {
		return fmt.Errorf("there is no mode %q (%s)", s.mode, strings.Join(allModes(), ", "))
	}
	if _, ok := persistence()[s.keeps]; !ok && s.keeps != "" {
		return fmt.Errorf("there is no persistence %q", s.keeps)
	}
	if s.seed == 0 {
		s.seed = uint64(time.Now().Unix()) //nolint:gosec // the clock is not before 1970
	}
	_, seeded := modes()[s.mode]
	defaults := struct {
		during time.Duration
		rate   int
	}{time.Minute, 25}
	switch {
	case s.mode == modeLoad:
		defaults.during, defaults.rate = time.Hour, loadRate
	case s.short:
		defaults.during = shortTime
	case seeded:
		defaults.during = 2 * time.Minute
	}
	if s.during == 0 {
		s.during = defaults.during
	}
	if s.rate == 0 {
		s.rate = defaults.rate
	}
	if s.trials == 0 {
		s.trials = 100
		if s.short {
			s.trials = shortTrials
		}
	}
	return nil
}

func (s *settings) run(ctx context.Context) error {
	if err := s.complete(); err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "fieldmedic-chaos-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	if s.binary == "" {
		if s.binary, err = build(ctx, dir); err != nil {
			return err
		}
	}
	if privileged() && !s.inside {
		return moveIn(ctx, s.binary, s.seed)
	}
	if s.inside {
		if err := settleIn(); err != nil {
			return err
		}
	}
	fmt.Printf("seed %d, mode %s\n", s.seed, s.mode)
	var f found
	err = s.find(ctx, &f)
	f.print()
	if s.write != "" {
		err = errors.Join(err, f.write(s.write))
	}
	return errors.Join(err, f.verdict())
}

// build makes the agent as it is shipped.
func build(ctx context.Context, dir string) (string, error) {
	binary := filepath.Join(dir, "fieldmedic")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-ldflags", "-s -w", "-o", binary, "./cmd/agent") //nolint:gosec // our own
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build the agent: %w: %s", err, out)
	}
	return binary, nil
}

// find runs what the mode says.
func (s *settings) find(ctx context.Context, f *found) (err error) {
	_, seeded := modes()[s.mode]
	switch {
	case s.mode == modeLoad:
		r, err := s.load(ctx, func(r *loadRun) error { return s.writeLoad(r) })
		if r != nil {
			f.load = r.table()
			for _, line := range r.failures() {
				f.broken = append(f.broken, errors.New(line))
			}
		}
		return err
	case s.mode == modeTrials:
		f.trials, err = damageTrials(ctx, s.binary, s.seed, s.trials)
		return err
	case !seeded:
		f.lines, f.broken = perform(ctx, &env{binary: s.binary, seed: s.seed, scale: s.scale, during: s.during, keep: s.keep}, s.mode)
		return nil
	}
	if f.results, err = s.runs(ctx); err == nil && s.short {
		f.trials, err = damageTrials(ctx, s.binary, s.seed, s.trials)
	}
	return err
}

// writeLoad writes what a load showed so far.
func (s *settings) writeLoad(r *loadRun) error {
	if s.write == "" {
		return nil
	}
	return writePart(s.write, partLoad, r.table())
}

// runs are those under load, one for each seed.
func (s *settings) runs(ctx context.Context) ([]result, error) {
	plans := []plan{{mode: s.mode, patience: 90 * time.Second}}
	if s.short {
		plans = shortForm()
	}
	small := privileged()
	var results []result
	for i, p := range plans {
		p.binary, p.rate, p.during, p.keep = s.binary, s.rate, s.during, s.keep
		p.seed, p.keeps = s.seed+uint64(i), s.keeps
		if s.short {
			p.patience = shortPatience
		}
		if s.set["mode"] {
			p.mode = s.mode
		}
		if p.keeps == "" {
			p.keeps = []string{"changes", "none", "default"}[p.seed%3]
		}
		// A file system in memory syncs for nothing: where the disk is not what
		// is disturbed, the state lies on a real one.
		p.small = small && modes()[p.mode][diskFull] > 0
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

// verdict is an error where a promise did not hold.
func (f *found) verdict() error {
	broken := f.broken
	for i := range f.results {
		for _, line := range f.results[i].failures() {
			broken = append(broken, fmt.Errorf("seed %d, %s: %s", f.results[i].seed, f.results[i].mode, firstLine(line)))
		}
	}
	for i := range f.trials {
		for _, line := range f.trials[i].failures() {
			broken = append(broken, errors.New(line))
		}
	}
	if len(broken) == 0 {
		return nil
	}
	return fmt.Errorf("%d promises did not hold:\n%w", len(broken), errors.Join(broken...))
}
