package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"fieldmedic/test/mosquitto"
)

// stage is a broker, the agent behind a meter, and an app, for a scenario.
type stage struct {
	dir, gateway string
	broker       *mosquitto.Broker
	meter        *meter
	agent        *agent

	parts sync.WaitGroup
	life  context.Context // ends with the stage
	stop  context.CancelFunc
	done  func()

	mu     sync.Mutex
	events map[string]int // that the app received, by type; repeats count once
	seen   map[string]bool
	tells  []func(body)
}

// staging says how a stage is set.
type staging struct {
	lines []string          // of the broker's configuration
	users map[string]string // of the broker
	more  []string          // flags of the agent
	env   []string
	wrap  []string
	// later: the agent is started by the scenario.
	later bool
}

// stage sets one up: the agent is ready and the app is subscribed.
func (e *env) stage(ctx context.Context, o staging) (*stage, error) {
	dir, done, err := e.spool()
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(ctx)
	s := &stage{dir: dir, gateway: gateway, done: done, life: ctx, stop: stop, events: map[string]int{}, seen: map[string]bool{}}
	if err := s.open(ctx, e, o); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

func (s *stage) open(ctx context.Context, e *env, o staging) error {
	home := filepath.Join(s.dir, "broker")
	if err := errors.Join(os.Mkdir(home, 0o700), os.Mkdir(filepath.Join(s.dir, "state"), 0o700)); err != nil {
		return err
	}
	lines := append([]string{"set_tcp_nodelay true", "sys_interval 1"}, o.lines...)
	var err error
	if s.broker, err = mosquitto.Start(mosquitto.Options{Dir: home, Lines: lines, Users: o.users, Guests: true}); err != nil {
		return err
	}
	if s.meter, err = newMeter(s.broker.Address(), "127.0.0.1:0"); err != nil {
		return err
	}
	s.agent, err = newAgent(agentOptions{
		binary: e.binary, dir: s.dir, state: filepath.Join(s.dir, "state"), broker: "mqtt://" + s.meter.address, gateway: s.gateway,
		more: o.more, wrap: o.wrap, env: o.env,
	})
	if err != nil || o.later {
		return err
	}
	if err := s.watchEvents(); err != nil {
		return err
	}
	return errors.Join(s.agent.start(), awaitAgent(ctx, s.agent, stopTime))
}

// remake changes what is started as the agent, which must not run.
func (s *stage) remake(change func(*agentOptions)) error {
	o := s.agent.agentOptions
	change(&o)
	err := s.agent.log.Close()
	if err == nil {
		s.agent, err = newAgent(o)
	}
	return err
}

// watchEvents lets the app receive from now on.
func (s *stage) watchEvents() error {
	a := newApp(s.broker.Address(), "chaos-app", "diagnostics/"+s.gateway+"/event", s.tell)
	s.parts.Go(func() { a.run(s.life) })
	select {
	case <-a.ready:
		return nil
	case <-time.After(answerTime):
		return errors.New("the app gets no subscription")
	}
}

func (s *stage) tell(b body) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen[b.ID] {
		return
	}
	if len(s.seen) > 200_000 { // a long run: repeats come soon or not at all
		clear(s.seen)
	}
	s.seen[b.ID] = true
	s.events[b.Type]++
	for _, tell := range s.tells {
		tell(b)
	}
}

// received tells how many events of a type the app received.
func (s *stage) received(kind string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.events[kind]
}

// pulse starts known devices that report now and then; the function ends them.
func (s *stage) pulse(ctx context.Context, every time.Duration) (*pulse, func()) {
	p := newPulse(s.broker.Address(), every)
	s.mu.Lock()
	s.tells = append(s.tells, p.tell)
	s.mu.Unlock()
	ctx, stop := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.run(ctx) })
	return p, func() { stop(); running.Wait() }
}

// close ends everything.
func (s *stage) close() error {
	var errs []error
	if s.agent != nil {
		errs = append(errs, s.agent.end(syscall.SIGKILL), s.agent.log.Close())
	}
	s.stop()
	if s.meter != nil {
		s.meter.close()
	}
	if s.broker != nil {
		errs = append(errs, s.broker.Kill())
	}
	s.parts.Wait()
	s.done()
	return errors.Join(errs...)
}

// pid of the agent.
func (s *stage) pid() int {
	_, _, pid := s.agent.running()
	return pid
}

// counters are the agent's own, with their labels as one key.
type counters map[string]float64

func (s *stage) counters(ctx context.Context) (counters, error) {
	answer, err := s.agent.get(ctx, "/metrics")
	if err != nil {
		return nil, err
	}
	return parseMetrics(answer), nil
}

// parseMetrics reads the text format of Prometheus.
func parseMetrics(text []byte) counters {
	c := counters{}
	for row := range strings.SplitSeq(string(text), "\n") {
		if i := strings.LastIndexByte(row, ' '); i > 0 && row[0] != '#' {
			if v, err := strconv.ParseFloat(row[i+1:], 64); err == nil {
				c[row[:i]] = v
			}
		}
	}
	return c
}

// sum adds a counter over all its labels.
func (c counters) sum(name string) int64 {
	total := 0.0
	for key, v := range c {
		if key == name || strings.HasPrefix(key, name+"{") {
			total += v
		}
	}
	return int64(total)
}

// account is what the agent says that came of what it was given.
type account struct{ received, refused, dropped int64 }

func (c counters) account() account {
	const p = "fieldmedic_messages_"
	return account{c.sum(p + "received_total"), c.sum(p + "refused_total"), c.sum(p + "dropped_total")}
}

// quiet waits until the agent has taken and published everything: its counters
// and the meter stand still.
func (s *stage) quiet(ctx context.Context, limit time.Duration) (counters, error) {
	var last, c counters
	var err error
	still := 0
	given := int64(-1)
	for until := time.Now().Add(limit); time.Now().Before(until) && ctx.Err() == nil; pause(ctx, watchEvery) {
		if c, err = s.counters(ctx); err != nil {
			continue
		}
		now := s.meter.delivered()
		if last != nil && last.account() == c.account() && now == given && c["fieldmedic_outbox_events"] == 0 {
			still++
		} else {
			still = 0
		}
		if last, given = c, now; still >= 4 {
			return c, nil
		}
	}
	return c, errors.Join(err, fmt.Errorf("the agent is not quiet after %s", limit))
}

// sys reads counters of the broker, after they have settled. It counts itself
// what it drops; the agent cannot know of it.
func (s *stage) sys(ctx context.Context, names ...string) (map[string]int64, error) {
	c, err := dial(s.broker.Address(), "chaos-sys", true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.conn.Close() }() // only read
	if err := c.subscribe("$SYS/broker/#"); err != nil {
		return nil, err
	}
	found := map[string]int64{}
	for until := time.Now().Add(2500 * time.Millisecond); ctx.Err() == nil; {
		if err := c.conn.SetReadDeadline(until); err != nil {
			return nil, err
		}
		f, err := readFrame(c.r)
		if err != nil {
			return found, nil // the time is over
		}
		p, ok := f.publication()
		if !ok {
			continue
		}
		if p.id > 0 {
			if err := c.puback(p.id); err != nil {
				return nil, err
			}
		}
		name := strings.TrimPrefix(p.topic, "$SYS/broker/")
		if n, err := strconv.ParseInt(string(p.payload), 10, 64); err == nil && slices.Contains(names, name) {
			found[name] = n
		}
	}
	return found, ctx.Err()
}

// sysDropped is the broker's count of publishes that it gave up.
const sysDropped = "publish/messages/dropped"
