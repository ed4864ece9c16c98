package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lab makes stores, and starts agents on damaged copies of them. Its agents are
// their own brokers, so that nothing of one trial stays for the next.
type lab struct {
	binary, dir string
	port        int
	seed        uint64
}

func (l *lab) agent(state string) (*agent, error) {
	return newAgent(agentOptions{
		binary: l.binary, dir: l.dir, state: state, broker: "embedded", gateway: gateway, more: []string{"--mqtt-listen", l.address()},
	})
}

func (l *lab) address() string { return "127.0.0.1:" + strconv.Itoa(l.port) }

// images are stores as a SIGKILL under load leaves them: one whose rows lie in
// the write-ahead log, one whose rows lie in the database for the most part,
// and one that was started again.
func (l *lab) images(ctx context.Context) ([]image, error) {
	var list []image
	for i, phases := range [][]time.Duration{
		{1500 * time.Millisecond},
		{1500 * time.Millisecond, 3 * time.Second, 300 * time.Millisecond},
		{700 * time.Millisecond, 0, 700 * time.Millisecond},
	} {
		img, err := l.prepare(ctx, strconv.Itoa(i), phases)
		if err != nil {
			return nil, err
		}
		list = append(list, img)
	}
	return list, nil
}

// prepare fills a store: load, a rest, load and so on; a rest of nothing is a
// SIGKILL and a new start, and one is at the end. A sound start on a copy tells
// what it holds.
func (l *lab) prepare(ctx context.Context, name string, phases []time.Duration) (image, error) {
	img := image{dir: filepath.Join(l.dir, "image-"+name)}
	a, err := l.agent(img.dir)
	if err != nil {
		return img, err
	}
	defer func() { _ = a.log.Close() }() // a help only
	ledger := newLedger(gateway, l.seed, a.life)
	begin := func() error { return errors.Join(a.start(), awaitAgent(ctx, a, stopTime)) }
	if err := begin(); err != nil {
		return img, err
	}
	for i, phase := range phases {
		switch {
		case i%2 == 0:
			l.load(ctx, ledger, phase)
		case phase > 0:
			pause(ctx, phase)
		default:
			err = errors.Join(a.end(syscall.SIGKILL), begin())
		}
	}
	if err = errors.Join(err, a.end(syscall.SIGKILL)); err == nil {
		img.journal, err = l.trust(ctx, img)
	}
	return img, err
}

// load sends reports for a while.
func (l *lab) load(ctx context.Context, ledger *ledger, during time.Duration) {
	d := &devices{address: l.address(), ledger: ledger, every: 4 * time.Millisecond, stopped: make(chan struct{})}
	ctx, done := context.WithTimeout(ctx, during)
	defer done()
	d.run(ctx)
}

// trust reads the journal from an agent on an undamaged copy, which must not
// speak of any damage.
func (l *lab) trust(ctx context.Context, img image) (map[string]body, error) {
	a, err := l.begin(img, func(string) error { return nil })
	if err != nil {
		return nil, err
	}
	defer func() { _ = a.log.Close() }() // a help only
	if err := errors.Join(a.start(), awaitAgent(ctx, a, stopTime)); err != nil {
		return nil, err
	}
	all, dropped, err := journal(ctx, a)
	switch {
	case err != nil:
	case len(all) < 100:
		err = fmt.Errorf("only %d events", len(all))
	case len(dropped) > 0 || saysDamage(a.warnings()):
		err = fmt.Errorf("after a SIGKILL alone the agent speaks of damage: %d dropped, %q", len(dropped), a.warnings())
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

// hears tells whether a new report raises an event.
func (l *lab) hears(ctx context.Context, a *agent) bool {
	c, err := dial(l.address(), "chaos-one", true)
	if err != nil {
		return false
	}
	defer func() { _ = c.conn.Close() }() // only one message
	if c.publish("devices/after/status", []byte(`{"status":-7}`), 1, false) != nil {
		return false
	}
	for until := time.Now().Add(startLimit); time.Now().Before(until); pause(ctx, 5*time.Millisecond) {
		answer, err := a.get(ctx, "/api/v1/events?device=after")
		if err == nil && strings.Contains(string(answer), `"raised"`) {
			return true
		}
	}
	return false
}

// journal is everything that the store holds, by key, and what it says it
// dropped.
func journal(ctx context.Context, a *agent) (all map[string]body, dropped []body, err error) {
	all = map[string]body{}
	for after := int64(0); ; {
		list, err := a.events(ctx, after)
		if err != nil || len(list) == 0 {
			return all, dropped, err
		}
		for _, b := range list {
			if after = b.Seq; b.Type == "dropped" {
				dropped = append(dropped, b)
				continue
			}
			all[b.key()] = b
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
