package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const modeClients = "clients"

func rivalScenarios() []scenario {
	return []scenario{
		{
			modeClients, "19", "two agents on one client id", "a second agent with the same mqtt.client_id, for two minutes",
			"named client-id-conflict; quiet then: at most 6 takeovers in the second minute", sameClient,
		},
		{
			modeClients, "19", "two agents on one gateway id", "a second agent with the same gateway and another client id, for 15 s",
			"the second is named gateway-id-conflict and overwrites nothing", sameGateway,
		},
		{
			modeClients, "19", "two agents on one state directory", "a second agent on the same state.dir",
			"the second exits 1 and names the first one's pid", sameState,
		},
	}
}

// rival is a second agent beside that of the stage.
func (s *stage) rival(e *env, gateway, state string, more ...string) (*agent, error) {
	dir := filepath.Join(s.dir, "rival")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if state == "" {
		state = filepath.Join(dir, "state")
	}
	return newAgent(agentOptions{binary: e.binary, dir: dir, state: state, broker: s.broker.URL(), gateway: gateway, more: more})
}

func sameClient(ctx context.Context, e *env) (finding, error) {
	var f finding
	s, err := e.stage(ctx, staging{more: []string{"--mqtt-client-id", "the-same"}})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	r, err := s.rival(e, "another", "", "--mqtt-client-id", "the-same")
	if err != nil {
		return f, err
	}
	defer func() { _ = r.log.Close() }() // a help only
	if err := r.start(); err != nil {
		return f, err
	}
	const fight = 60 * time.Second
	start, before := time.Now(), s.meter.connects.Load()
	named, ok := saysEither(ctx, "client-id-conflict", fight, s.agent, r)
	f.want(ok, "neither agent names it in %s", fight)
	pause(ctx, fight-time.Since(start))
	takeovers := s.meter.connects.Load() - before
	pause(ctx, fight)
	later := s.meter.connects.Load() - before - takeovers
	if ok {
		f.say("named after %s", short(named))
	}
	f.say("%d takeovers by one agent in the first minute, %d in the second", takeovers, later)
	f.want(later <= 6, "%d takeovers in the second minute", later)
	f.want(len(s.agent.ownExits())+len(r.ownExits()) == 0, "an agent ended by itself")
	return f, r.end(syscall.SIGKILL)
}

// saysEither waits until one of several agents names a state.
func saysEither(ctx context.Context, state string, limit time.Duration, agents ...*agent) (time.Duration, bool) {
	start := time.Now()
	for time.Since(start) < limit && ctx.Err() == nil {
		for _, a := range agents {
			if names(ctx, a, state) {
				return time.Since(start), true
			}
		}
		pause(ctx, 50*time.Millisecond)
	}
	return 0, false
}

func sameGateway(ctx context.Context, e *env) (finding, error) {
	var f finding
	s, err := e.stage(ctx, staging{})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	before, err := s.look("diagnostics/" + s.gateway + "/+")
	if err != nil {
		return f, err
	}
	r, err := s.rival(e, s.gateway, "", "--mqtt-client-id", "another-one")
	if err != nil {
		return f, err
	}
	defer func() { _ = r.log.Close() }() // a help only
	if err := r.start(); err != nil {
		return f, err
	}
	after, ok := says(ctx, r, "gateway-id-conflict", 15*time.Second)
	f.want(ok, "the second agent does not name it in %s", short(after))
	f.say("named by the second after %s", short(after))
	now, err := s.look("diagnostics/" + s.gateway + "/+")
	if err != nil {
		return f, err
	}
	overwritten := 0
	for topic, was := range before {
		if strings.HasSuffix(topic, "/state") && !strings.Contains(now[topic], clientOf(was)) {
			overwritten++
		}
	}
	f.say("%d of %d retained topics changed hands", overwritten, len(before))
	f.want(overwritten == 0, "the second agent overwrote the first one's topics")
	_, err = s.agent.get(ctx, "/readyz")
	f.want(err == nil, "the first agent is disturbed: %v", err)
	f.want(len(r.ownExits()) == 0, "the second agent ended by itself")
	return f, r.end(syscall.SIGKILL)
}

// clientOf is the part of a state topic's payload that names its client.
func clientOf(payload string) string {
	_, rest, _ := strings.Cut(payload, `"client_id":`)
	id, _, _ := strings.Cut(rest, ",")
	return id
}

// look reads what is retained.
func (s *stage) look(filter string) (map[string]string, error) {
	c, err := dial(s.broker.Address(), "chaos-look", true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.conn.Close() }() // only read
	if err := c.subscribe(filter); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(retainedQuiet)); err != nil {
			return nil, err
		}
		f, err := readFrame(c.r)
		if err != nil {
			return found, nil // nothing more comes
		}
		if p, ok := f.publication(); ok {
			if err := c.puback(p.id); err != nil {
				return nil, err
			}
			found[p.topic] = string(p.payload)
		}
	}
}

func sameState(ctx context.Context, e *env) (finding, error) {
	var f finding
	s, err := e.stage(ctx, staging{})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	r, err := s.rival(e, "another", filepath.Join(s.dir, "state"))
	if err != nil {
		return f, err
	}
	defer func() { _ = r.log.Close() }() // a help only
	if err := r.start(); err != nil {
		return f, err
	}
	start := time.Now()
	for len(r.ownExits()) == 0 && time.Since(start) < 5*time.Second {
		pause(ctx, 10*time.Millisecond)
	}
	exits := r.ownExits()
	f.want(len(exits) > 0, "the second agent runs")
	if len(exits) > 0 {
		f.want(strings.Contains(exits[0].how, "exit status 1"), "the second agent: %s", exits[0].how)
		f.want(strings.Contains(exits[0].how, itoa(s.pid())), "it does not name pid %d: %s", s.pid(), exits[0].how)
		f.say("exit 1 after %s, with the first one's pid", short(exits[0].at.Sub(start)))
	}
	_, err = s.agent.get(ctx, "/readyz")
	f.want(err == nil, "the first agent is disturbed: %v", err)
	err = r.end(syscall.SIGKILL)
	if errors.Is(err, os.ErrProcessDone) {
		err = nil
	}
	return f, err
}
