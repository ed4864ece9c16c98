package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"fieldmedic/test/mosquitto"
)

// plan is what one run does.
type plan struct {
	binary string
	mode   string
	seed   uint64
	rate   int    // reports a second
	keeps  string // the broker's persistence
	faults int    // to be injected at least; 0: as many as there is time for
	ids    int    // to be sent at least, where faults is set
	during time.Duration
	// patience is how long a fault may keep the next one waiting.
	patience time.Duration
	// small puts the state on a small file system, for faults of the disk.
	small bool
	keep  bool
}

// keepsAll is the persistence with which a broker forgets nothing of what it
// has saved, and saves at once.
const keepsAll = "changes"

// persistence are the broker's settings of each kind.
func persistence() map[string][]string {
	return map[string][]string{
		"none":    {"persistence false"},
		keepsAll:  {"persistence true", "autosave_on_changes true", "autosave_interval 1"},
		"default": {"persistence true"},
	}
}

// site is one run: a broker, the agent behind the proxy, devices and an app.
type site struct {
	plan
	dir, state string
	home       string // the broker's
	broker     *mosquitto.Broker
	proxy      *proxy
	agent      *agent
	ledger     *ledger
	watcher    *watcher
	devices    *devices

	// What the mode's faults need: a network namespace for the agent, a disk of
	// its own; how the agent is started there, and where the proxy listens.
	far     *far
	disk    *disk
	wrap    []string
	size    []string // flag of the store's size, where the disk is small
	near    string
	unmount func() error

	happened []happened
	damages  []time.Time
	spoiled  string // what was done to the store last
	detected string // how long it took until the present fault was named
	noticed  map[fault][]time.Duration
	trouble  []string // promises that were broken, beside losses
}

// happened is one fault that was injected.
type happened struct {
	fault    fault
	what     string // more of it, or empty
	from, to time.Time
	waited   *waiter
}

const (
	gateway = "chaos"
	// smallSize is that of the file system for faults of the disk: room for the
	// store, its log, and what is left after trimming.
	smallSize = "32m"
	// settleTime is how long a run may take to get everything through at its
	// end; quietTime without any progress ends it as well.
	settleTime = 60 * time.Second
	quietTime  = 8 * time.Second
)

// run does the whole plan and answers what came of it.
func run(ctx context.Context, p plan) (r result, err error) {
	s := &site{plan: p, near: "127.0.0.1", noticed: map[fault][]time.Duration{}}
	if s.dir, err = os.MkdirTemp("", "fieldmedic-chaos-"); err != nil {
		return r, err
	}
	ctx, stop := context.WithCancel(ctx)
	var parts sync.WaitGroup
	defer func() {
		stop()
		err = errors.Join(err, s.close())
		parts.Wait()
	}()
	if err := s.open(); err != nil {
		return r, err
	}
	topic := "diagnostics/" + gateway + "/event"
	always := newApp(s.broker.Address(), "chaos-app", topic, s.ledger.received)
	away := newApp(s.broker.Address(), "chaos-away", topic, s.ledger.receivedAway)
	away.naps = rand.New(rand.NewPCG(s.seed, 9)) //nolint:gosec // a plan that can be dealt again
	for _, a := range []*app{always, away} {
		parts.Go(func() { a.run(ctx) })
		if err := s.ready(ctx, a); err != nil {
			return r, err
		}
	}
	parts.Go(func() { s.watcher.run(ctx) })
	parts.Go(func() { s.devices.run(ctx) })
	if err := s.disturb(ctx); err != nil {
		return r, err
	}
	s.settle(ctx)
	s.compareRetained(ctx)
	if err := s.agent.end(syscall.SIGTERM); err != nil {
		s.broke("%v", err)
	}
	return s.judge(), nil
}

// open makes everything that runs.
func (s *site) open() error {
	s.state = filepath.Join(s.dir, "state")
	if err := os.Mkdir(s.state, 0o700); err != nil {
		return err
	}
	var err error
	if s.home, err = os.MkdirTemp(inMemory(), "fieldmedic-broker-"); err != nil {
		return err
	}
	if err := s.furnish(); err != nil {
		return fmt.Errorf("furnish the site: %w", err)
	}
	lines := append([]string{
		"max_queued_messages 0", "set_tcp_nodelay true",
	}, persistence()[s.keeps]...)
	if s.broker, err = mosquitto.Start(mosquitto.Options{Dir: s.home, Lines: lines}); err != nil {
		return err
	}
	s.ledger = newLedger(gateway, s.seed, func() int { return s.agent.life() })
	if s.proxy, err = newProxy(s.broker.Address(), s.near, s.ledger); err != nil {
		return err
	}
	s.agent, err = newAgent(agentOptions{
		binary: s.binary, dir: s.dir, state: s.state, broker: "mqtt://" + s.proxy.address, gateway: gateway, wrap: s.wrap, more: s.size,
	})
	if err != nil {
		return err
	}
	s.watcher = &watcher{agent: s.agent, ledger: s.ledger, read: map[string]int64{}}
	s.devices = &devices{
		address: s.broker.Address(), ledger: s.ledger, every: time.Second / time.Duration(s.rate), stopped: make(chan struct{}),
	}
	return s.agent.start()
}

// inMemory is where the broker's files lie: its disk is not what is tested, and
// one that saves on every change would wait for nothing else. What a process
// wrote outlives its kill in either place.
func inMemory() string {
	const shared = "/dev/shm"
	if info, err := os.Stat(shared); err == nil && info.IsDir() {
		return shared
	}
	return ""
}

// ready waits until app and agent are subscribed.
func (s *site) ready(ctx context.Context, a *app) error {
	select {
	case <-a.ready:
	case <-time.After(answerTime):
		return errors.New("the app gets no subscription")
	}
	var err error
	for range 100 {
		if _, err = s.agent.get(ctx, "/readyz"); err == nil {
			return nil
		}
		pause(ctx, 100*time.Millisecond)
	}
	return fmt.Errorf("the agent gets not ready: %w", err)
}

// disturb injects faults by the seed's plan while reports flow.
func (s *site) disturb(ctx context.Context) error {
	cards := newDeck(s.seed, s.weights())
	if len(cards.kinds) == 0 {
		return fmt.Errorf("mode %s has no fault that can be injected here", s.mode)
	}
	until := time.Now().Add(s.during)
	for time.Now().Before(until) && !s.enough() {
		c := cards.deal()
		pause(ctx, c.gap)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		h := happened{fault: c.fault, from: time.Now()}
		_, _ = fmt.Fprintf(s.agent.log, "--- %s for %s, %s\n", c.fault, short(c.hold), h.from.Format(stamp)) // a help only
		w, err := s.inject(ctx, c)
		if err != nil {
			return fmt.Errorf("%s: %w", c.fault, err)
		}
		h.to, h.waited = time.Now(), w
		if h.what = s.detected; c.fault == storeDamage {
			h.what = s.spoiled
		}
		s.happened = append(s.happened, h)
		if !c.hasty {
			s.await(ctx, w, c.fault)
		}
		s.ledger.giveUp(w, c.hasty)
	}
	close(s.devices.stopped)
	return nil
}

// enough: so many faults and ids as the plan asks for.
func (s *site) enough() bool {
	sent, _, _ := s.ledger.standing()
	return s.faults > 0 && len(s.happened) >= s.faults && sent >= s.ids
}

// weights of the mode, without what cannot be done here.
func (s *site) weights() map[fault]int {
	w := map[fault]int{}
	for _, d := range allFaults() {
		if n := modes()[s.mode][d.fault]; n > 0 && s.allowed(d.needs) {
			w[d.fault] = n
		}
	}
	return w
}

// await waits for the recovery.
func (s *site) await(ctx context.Context, w *waiter, f fault) {
	select {
	case <-w.done:
	case <-ctx.Done():
	case <-time.After(s.patience):
		s.broke("%s: no new event in %s after %s (ready: %s)", time.Now().Format(stamp), s.patience, f, readiness(ctx, s.agent))
	}
}

// settle waits until everything is through, or nothing moves any more.
func (s *site) settle(ctx context.Context) {
	until := time.Now().Add(settleTime)
	for time.Now().Before(until) && ctx.Err() == nil {
		err := s.watcher.look(ctx)
		_, open, progress := s.ledger.standing()
		idle := s.watcher.last().outbox == 0 && readiness(ctx, s.agent) == "yes"
		if idle && (open == 0 && err == nil || time.Since(progress) > quietTime) {
			if err != nil {
				s.broke("the agent's log of events cannot be read: %v", err)
			}
			return
		}
		pause(ctx, watchEvery)
	}
	s.broke("not settled %s after the last fault: %.0f events wait (ready: %s)", settleTime, s.watcher.last().outbox, readiness(ctx, s.agent))
}

func (s *site) broke(format string, args ...any) {
	s.trouble = append(s.trouble, fmt.Sprintf(format, args...))
}

// close ends everything; the directory stays where somebody must look at it.
func (s *site) close() error {
	var errs []error
	if s.agent != nil {
		errs = append(errs, s.agent.end(syscall.SIGKILL), s.agent.log.Close())
	}
	if s.proxy != nil {
		s.proxy.refuse()
		s.proxy.cut()
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Kill())
	}
	if s.unmount != nil {
		errs = append(errs, s.unmount())
	}
	if s.far != nil {
		errs = append(errs, s.far.close())
	}
	if s.home != "" {
		errs = append(errs, os.RemoveAll(s.home))
	}
	if s.keep {
		fmt.Fprintln(os.Stderr, "chaos: kept", s.dir)
		return errors.Join(errs...)
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}
