package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"

	"fieldmedic/test/mosquitto"
)

// tally is what the trials of one kind of damage showed.
type tally struct {
	spoiling
	trials, noStart, slow, exits int
	// lost are trials with lost rows; of these, nothing was said in silent ones,
	// and less than is missing in vague ones.
	lost, silent, vague int
	rows                int // lost altogether
	deaf                int // trials in which a new report raised nothing
	slowest             time.Duration
	examples            map[string]string // the first of each kind
}

// Kinds of examples.
const (
	noStart   = "no start"
	ownExit   = "ended by itself"
	slowness  = "start slower than 2 s"
	silence   = "rows are gone and nothing is said"
	vagueness = "more rows are gone than is said"
	deaf      = "a new report raises nothing"
)

// startLimit is how long a start on a damaged store may take.
const startLimit = 2 * time.Second

// image is a store to damage copies of.
type image struct {
	dir     string
	journal map[string]body // what it held, by key
}

// key is what an event is known by, whatever became of epoch and number: each
// device of the trials opens one diagnosis.
func (b body) key() string { return b.Type + " " + b.Diagnosis.Device }

// trialWorkers run trials beside each other.
const trialWorkers = 2

// damageTrials runs so many trials of each kind. An interrupt ends them, with
// what was found so far.
func damageTrials(ctx context.Context, binary string, seed uint64, trials int) ([]tally, error) {
	dir, err := os.MkdirTemp("", "fieldmedic-chaos-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	labs := make([]*lab, trialWorkers)
	for i := range labs {
		if labs[i], err = newLab(binary, filepath.Join(dir, strconv.Itoa(i)), seed); err != nil {
			return nil, err
		}
	}
	images, err := labs[0].images(ctx)
	if err != nil {
		return nil, fmt.Errorf("make a store to damage: %w", err)
	}
	var list []tally
	for k, kind := range spoilings() {
		var usable []image
		for _, img := range images {
			if kind.possible(img.dir) {
				usable = append(usable, img)
			}
		}
		if len(usable) == 0 {
			fmt.Printf("%s: the store has no such file\n", kind)
			continue
		}
		t := tally{spoiling: kind, examples: map[string]string{}}
		err := t.run(ctx, labs, usable, trials, rand.NewPCG(seed, uint64(k))) //nolint:gosec // an index
		fmt.Printf("%s: %d trials, %d with lost rows, %d silent, %d vague, %d exits, slowest start %s\n",
			kind, t.trials, t.lost, t.silent, t.vague, t.exits, short(t.slowest))
		list = append(list, t)
		if err != nil {
			if ctx.Err() != nil {
				return list, nil
			}
			return list, fmt.Errorf("%s: %w", kind, err)
		}
	}
	return list, nil
}

// run does the trials of one kind on all labs.
func (t *tally) run(ctx context.Context, labs []*lab, images []image, trials int, source rand.Source) error {
	dice := make(chan uint64)
	go func() {
		defer close(dice)
		for range trials {
			select {
			case dice <- source.Uint64():
			case <-ctx.Done():
				return
			}
		}
	}()
	var all sync.WaitGroup
	var mu sync.Mutex
	errs := make([]error, len(labs))
	for i, l := range labs {
		all.Go(func() {
			for d := range dice {
				if errs[i] != nil {
					continue // the rest is let go by
				}
				one := tally{spoiling: t.spoiling, examples: map[string]string{}}
				errs[i] = l.trial(ctx, images[d%uint64(len(images))], &one, d)
				mu.Lock()
				t.add(&one)
				mu.Unlock()
			}
		})
	}
	all.Wait()
	return errors.Join(errors.Join(errs...), ctx.Err())
}

func (t *tally) add(one *tally) {
	t.trials += one.trials
	t.noStart += one.noStart
	t.slow += one.slow
	t.exits += one.exits
	t.lost += one.lost
	t.silent += one.silent
	t.vague += one.vague
	t.rows += one.rows
	t.deaf += one.deaf
	t.slowest = max(t.slowest, one.slowest)
	for kind, example := range one.examples {
		t.note(kind, example)
	}
}

func (t *tally) note(kind, example string) {
	if t.examples[kind] == "" {
		t.examples[kind] = firstLine(example)
	}
}

// trial is one start on a damaged store.
func (l *lab) trial(ctx context.Context, img image, t *tally, dice uint64) error {
	what := ""
	a, err := l.begin(img, func(dir string) (err error) {
		what, err = t.spoil(dir, dice)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { _ = a.log.Close() }() // a help only
	if err := a.start(); err != nil {
		return err
	}
	start := time.Now()
	defer func() { _ = a.end(syscall.SIGKILL) }() // it is over either way
	err = awaitAgent(ctx, a, 4*restartAfter)
	took := time.Since(start)
	if ctx.Err() != nil {
		return ctx.Err()
	}
	t.trials++
	exits := a.ownExits()
	if t.exits = len(exits); t.exits > 0 {
		t.note(ownExit, what+": "+exits[0].how)
	}
	if err != nil {
		t.noStart++
		t.note(noStart, what+": "+err.Error())
		return nil
	}
	if took > startLimit {
		t.slow++
		t.note(slowness, what+": "+short(took))
	}
	t.slowest = max(t.slowest, took)
	l.compare(ctx, img, a, t, what)
	return nil
}

// compare counts what is missing against the journal, and tries a new report.
func (l *lab) compare(ctx context.Context, img image, a *agent, t *tally, what string) {
	got, dropped, err := journal(ctx, a)
	if err != nil {
		what += ", reading the log: " + err.Error()
	}
	missing, uncovered := 0, 0
	for key, b := range img.journal {
		if _, ok := got[key]; ok {
			continue
		}
		if missing++; !covered(dropped, b.Seq) {
			uncovered++
		}
	}
	t.rows += missing
	if missing > 0 {
		t.lost++
		what = fmt.Sprintf("%s: %d of %d events", what, missing, len(img.journal))
		counted := 0
		if answer, err := a.get(ctx, "/metrics"); err == nil {
			counted = int(parseMetrics(answer).sum("fieldmedic_store_lost_events_total"))
		}
		said := saysDamage(a.warnings())
		switch {
		case !said && counted == 0 && uncovered > 0:
			t.silent++
			t.note(silence, what)
		case !said || uncovered > 0 && counted < missing:
			t.vague++
			t.note(vagueness, fmt.Sprintf("%s, %d of them in no event `dropped`, %d counted, an error in the log: %t", what, uncovered, counted, said))
		}
	}
	if !l.hears(ctx, a) {
		t.deaf++
		t.note(deaf, what)
	}
}

// covered tells whether an event says that this number was dropped.
func covered(dropped []body, seq int64) bool {
	for _, d := range dropped {
		if d.From <= seq && seq <= d.To {
			return true
		}
	}
	return false
}

// newLab makes a place for trials.
func newLab(binary, dir string, seed uint64) (*lab, error) {
	port, err := mosquitto.FreePort()
	if err != nil {
		return nil, err
	}
	return &lab{binary: binary, dir: dir, port: port, seed: seed}, os.MkdirAll(dir, 0o700)
}
