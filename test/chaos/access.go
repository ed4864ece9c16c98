package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

const modeAccess = "access"

func accessScenarios() []scenario {
	return []scenario{
		{
			modeAccess, "18", "password changed at the broker", "the agent's password changed, SIGHUP to Mosquitto; changed back after it was named",
			"named auth-failed within 10 s; recovers without a restart", passwordChanged,
		},
		{
			modeAccess, "18", "access list changed at the broker", "the agent's right to publish taken away, SIGHUP to Mosquitto, connections cut; given back after it was named",
			"named acl-denied within 10 s; recovers without a restart", rightsTaken,
		},
	}
}

// guarded is a stage whose broker knows its users.
func (e *env) guarded(ctx context.Context, lines []string) (*stage, error) {
	dir, err := os.MkdirTemp("", "fieldmedic-chaos-")
	if err != nil {
		return nil, err
	}
	secret := filepath.Join(dir, "password")
	if err := os.WriteFile(secret, []byte("right\n"), 0o600); err != nil {
		return nil, err
	}
	s, err := e.stage(ctx, staging{
		users: map[string]string{"agent": "right"}, lines: lines, later: true,
		more: []string{"--mqtt-username", "agent", "--mqtt-password-file", secret},
	})
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	done := s.done
	s.done = func() { done(); _ = os.RemoveAll(dir) } // a temporary directory
	if err := errors.Join(s.watchEvents(), s.agent.start(), awaitAgent(ctx, s.agent, stopTime)); err != nil {
		return nil, errors.Join(err, s.close())
	}
	return s, nil
}

// restless waits for the recovery after a refusal: the agent tries again after
// 30 s, give or take a half.
const restless = 90 * time.Second

func passwordChanged(ctx context.Context, e *env) (finding, error) {
	var f finding
	s, err := e.guarded(ctx, nil)
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	set := func(password string) error {
		file := filepath.Join(s.dir, "broker", "passwords")
		if err := run1("mosquitto_passwd", "-b", file, "agent", password); err != nil {
			return err
		}
		return s.broker.Signal(syscall.SIGHUP)
	}
	if err := set("another"); err != nil {
		return f, err
	}
	pause(ctx, 200*time.Millisecond)
	s.meter.cut() // some brokers ask for the password at a connect only
	after, ok := says(ctx, s.agent, "auth-failed", 20*time.Second)
	f.want(ok && after < 10*time.Second, "named after %s", short(after))
	f.say("named after %s", short(after))
	if err := set("right"); err != nil {
		return f, err
	}
	after, ok = calm(ctx, s.agent, "auth-failed", restless)
	f.want(ok, "not recovered %s after the password was right again (%s)", short(after), readiness(ctx, s.agent))
	f.say("recovered %s after it was right again", short(after))
	f.want(len(s.agent.ownExits()) == 0, "the agent ended by itself")
	return f, nil
}

func rightsTaken(ctx context.Context, e *env) (finding, error) {
	var f finding
	list, err := os.CreateTemp("", "fieldmedic-chaos-acl-")
	if err != nil {
		return f, err
	}
	defer func() { _ = os.Remove(list.Name()) }() // a temporary file
	const all = "topic readwrite #\ntopic read $SYS/#\nuser agent\ntopic readwrite #\n"
	const less = "topic readwrite #\ntopic read $SYS/#\nuser agent\ntopic read #\n"
	write := func(content string) error { return os.WriteFile(list.Name(), []byte(content), 0o600) }
	if err := errors.Join(list.Close(), write(all)); err != nil {
		return f, err
	}
	s, err := e.guarded(ctx, []string{"acl_file " + list.Name()})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	set := func(content string) error {
		err := errors.Join(write(content), s.broker.Signal(syscall.SIGHUP))
		pause(ctx, 200*time.Millisecond)
		return err
	}
	if err := set(less); err != nil {
		return f, err
	}
	s.meter.cut()
	after, ok := says(ctx, s.agent, "acl-denied", 20*time.Second)
	f.want(ok && after < 10*time.Second, "named after %s", short(after))
	f.say("named after %s", short(after))
	if err := set(all); err != nil {
		return f, err
	}
	after, ok = calm(ctx, s.agent, "acl-denied", restless)
	f.want(ok, "not recovered %s after the right was given back (%s)", short(after), readiness(ctx, s.agent))
	f.say("recovered %s after it was given back", short(after))
	f.want(len(s.agent.ownExits()) == 0, "the agent ended by itself")
	return f, nil
}
