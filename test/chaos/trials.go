package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"fieldmedic/test/mosquitto"
)

// tally is what the trials of one kind of damage showed.
type tally struct {
	spoiling
	trials, noStart, slow, exits int
	lost, silent                 int // trials with lost rows, and those of them where nothing was said
	rows                         int // lost altogether
	deaf                         int // trials in which a new report raised nothing
	slowest                      time.Duration
	examples                     map[string]string // the first of each kind
}

// Kinds of examples.
const (
	noStart = "no start"
	silence = "rows are gone and the log says nothing"
	deaf    = "a new report raises nothing"
)

// startLimit is how long a start on a damaged store may take.
const startLimit = 2 * time.Second

// lab makes one store, and damages copies of it.
type lab struct {
	binary, dir string
	port        int
	seed        uint64
}

// image is a store to damage copies of.
type image struct {
	dir     string
	journal map[string]body // by event id
}

// damageTrials runs so many trials of each kind.
func damageTrials(ctx context.Context, binary string, seed uint64, trials int) ([]tally, error) {
	dir, err := os.MkdirTemp("", "fieldmedic-chaos-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }() // a temporary directory
	port, err := mosquitto.FreePort()
	if err != nil {
		return nil, err
	}
	l := &lab{binary: binary, dir: dir, port: port, seed: seed}
	inFile, err := l.prepare(ctx, "in-file", 3*time.Second)
	if err != nil {
		return nil, fmt.Errorf("make a store to damage: %w", err)
	}
	inLog, err := l.prepare(ctx, "in-log", 0)
	if err != nil {
		return nil, fmt.Errorf("make a store to damage: %w", err)
	}
	rng := rand.New(rand.NewPCG(seed, 7)) //nolint:gosec // damage that can be done again
	var list []tally
	for _, kind := range spoilings() {
		t := tally{spoiling: kind, examples: map[string]string{}}
		img := inLog
		if kind.file == "" {
			img = inFile
		}
		for range trials {
			if err := l.trial(ctx, img, &t, rng.Uint64()); err != nil {
				return list, fmt.Errorf("%s: %w", kind, err)
			}
		}
		list = append(list, t)
	}
	return list, nil
}

// agent on a state directory; it is its own broker, so that nothing of one
// trial stays for the next.
func (l *lab) agent(state string) (*agent, error) {
	return newAgent(l.binary, l.dir, state, "embedded", gateway, "--mqtt-listen", "127.0.0.1:"+strconv.Itoa(l.port))
}

// prepare fills a store under load and kills its agent in the middle; after a
// rest before the last of it, what was written lies in the file, and without
// one in the write-ahead log. A sound start on a copy tells what it holds.
func (l *lab) prepare(ctx context.Context, name string, rest time.Duration) (image, error) {
	img := image{dir: filepath.Join(l.dir, name)}
	a, err := l.agent(img.dir)
	if err != nil {
		return img, err
	}
	if err := errors.Join(a.start(), awaitAgent(ctx, a, stopTime)); err != nil {
		return img, err
	}
	ledger := newLedger(gateway, l.seed, a.life)
	l.load(ctx, ledger, 1500*time.Millisecond)
	if rest > 0 {
		pause(ctx, rest)
		l.load(ctx, ledger, 300*time.Millisecond)
	}
	if err := errors.Join(a.end(syscall.SIGKILL), a.log.Close()); err != nil {
		return img, err
	}
	img.journal, err = l.trust(ctx, img)
	return img, err
}

// load sends reports for a while.
func (l *lab) load(ctx context.Context, ledger *ledger, during time.Duration) {
	d := &devices{address: l.address(), ledger: ledger, every: 4 * time.Millisecond, stopped: make(chan struct{})}
	ctx, done := context.WithTimeout(ctx, during)
	defer done()
	d.run(ctx)
}

// trust reads the journal from an agent on an undamaged copy.
func (l *lab) trust(ctx context.Context, img image) (map[string]body, error) {
	a, err := l.begin(img, func(string) error { return nil })
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.log.Close() }() // a help only
	if err := errors.Join(a.start(), awaitAgent(ctx, a, stopTime)); err != nil {
		return nil, err
	}
	all, err := journal(ctx, a)
	if err == nil && len(all) < 100 {
		err = fmt.Errorf("only %d events", len(all))
	}
	return all, errors.Join(err, a.end(syscall.SIGKILL))
}

// begin copies an image, damages the copy, and makes an agent for it.
func (l *lab) begin(img image, damage func(dir string) error) (*agent, error) {
	state := filepath.Join(l.dir, "trial")
	if err := errors.Join(os.RemoveAll(state), os.CopyFS(state, os.DirFS(img.dir)), damage(state)); err != nil {
		return nil, err
	}
	return l.agent(state)
}

func (l *lab) address() string { return "127.0.0.1:" + strconv.Itoa(l.port) }

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
	t.trials++
	err = awaitAgent(ctx, a, 4*restartAfter)
	took := time.Since(start)
	t.exits += len(a.ownExits())
	if err != nil {
		t.noStart++
		how := err.Error()
		if exits := a.ownExits(); len(exits) > 0 {
			how = exits[0].how
		}
		t.note(noStart, what+": "+how)
		return nil
	}
	if took > startLimit {
		t.slow++
	}
	t.slowest = max(t.slowest, took)
	l.compare(ctx, img, a, t, what)
	return nil
}

// compare counts what is missing against the journal, and tries a new report.
func (l *lab) compare(ctx context.Context, img image, a *agent, t *tally, what string) {
	got, err := journal(ctx, a)
	if err != nil {
		what += ", reading the log: " + err.Error()
	}
	missing := 0
	for id, b := range img.journal {
		if g, ok := got[id]; !ok || g.Seq != b.Seq || g.Diagnosis.Device != b.Diagnosis.Device {
			missing++
		}
	}
	if missing > 0 {
		t.lost++
		t.rows += missing
		if !saysDamage(a.warnings()) {
			t.silent++
			t.note(silence, fmt.Sprintf("%s: %d of %d events", what, missing, len(img.journal)))
		}
	}
	if !l.hears(ctx, a) {
		t.deaf++
		t.note(deaf, what)
	}
}

func (t *tally) note(kind, example string) {
	if t.examples[kind] == "" {
		t.examples[kind] = firstLine(example)
	}
}

// hears tells whether a new report raises an event.
func (l *lab) hears(ctx context.Context, a *agent) bool {
	c, err := dial(l.address(), "chaos-one", true)
	if err != nil {
		return false
	}
	defer func() { _ = c.conn.Close() }() // only one message
	for range 20 {
		if c.publish("devices/after/status", []byte(`{"status":-7}`), 1, false) != nil {
			return false
		}
		pause(ctx, 100*time.Millisecond)
		if answer, err := a.get(ctx, "/api/v1/events?device=after"); err == nil && strings.Contains(string(answer), `"raised"`) {
			return true
		}
	}
	return false
}

// journal is everything that the store holds, by event id.
func journal(ctx context.Context, a *agent) (map[string]body, error) {
	all := map[string]body{}
	for after := int64(0); ; {
		list, err := a.events(ctx, after)
		if err != nil || len(list) == 0 {
			return all, err
		}
		for _, b := range list {
			all[b.ID] = b
			after = b.Seq
		}
	}
}

// awaitAgent waits until the agent answers and takes messages.
func awaitAgent(ctx context.Context, a *agent, limit time.Duration) error {
	until := time.Now().Add(limit)
	for {
		_, err := a.get(ctx, "/readyz")
		if err == nil {
			return nil
		}
		if time.Now().After(until) || ctx.Err() != nil {
			return err
		}
		pause(ctx, 10*time.Millisecond)
	}
}
