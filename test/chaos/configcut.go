package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

const modeConfig = "config"

func configScenarios() []scenario {
	return []scenario{
		{
			modeConfig, "14", "configuration cut at each byte", "`fieldmedic check` on every beginning of a configuration",
			"exit 0 or 2, and where 2, a line that names the place; no crash", configCut,
		},
		{
			modeConfig, "14", "broken configuration at a reload", "SIGHUP with the configuration cut at 20 places, under load",
			"the old one stays in force and nothing is missed; named configuration-rejected", configReload,
		},
	}
}

// exampleConfig has a value of each kind.
const exampleConfig = `gateway: chaos
languages: [en, "zh-Hans"]
mqtt:
  broker: mqtt://127.0.0.1:1883
  base_topic: diagnostics
  requests:
    - recheck
sources:
  - name: status
    topic: devices/{device}/status
    format: dna
    expect_every: 0s
site:
  devices:
    - {id: ac-7, name: "Air \u0061", mac: "00:11:22:33:44:55"}
checks: {enabled: false, timeout: 3s}
store:
  retention: 720h
  max_size: 64MiB
log: {level: info, format: json}
`

func configCut(ctx context.Context, e *env) (finding, error) {
	var f finding
	dir, done, err := e.spool()
	if err != nil {
		return f, err
	}
	defer done()
	file := filepath.Join(dir, "fieldmedic.yaml")
	codes := map[int]int{}
	step := max(1, int(1/e.scale))
	for n := 0; n <= len(exampleConfig) && ctx.Err() == nil; n += step {
		if err := os.WriteFile(file, []byte(exampleConfig[:n]), 0o600); err != nil {
			return f, err
		}
		out, err := exec.CommandContext(ctx, e.binary, "check", "--config", file).CombinedOutput() //nolint:gosec // the agent that was built for this run
		code := 0
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			code = exit.ExitCode()
		} else if err != nil {
			return f, err
		}
		codes[code]++
		f.want(code == 0 || code == 2, "cut at %d: exit %d: %s", n, code, firstLine(string(out)))
		f.want(code != 2 || len(out) > 0, "cut at %d: exit 2 without a word", n)
	}
	f.say("%d beginnings: %d good, %d refused", codes[0]+codes[2], codes[0], codes[2])
	return f, nil
}

func configReload(ctx context.Context, e *env) (finding, error) {
	var f finding
	s, err := e.stage(ctx, staging{later: true})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	file := filepath.Join(s.dir, "fieldmedic.yaml")
	write := func(n int) error { return os.WriteFile(file, []byte(exampleConfig[:n]), 0o600) }
	if err := write(len(exampleConfig)); err != nil {
		return f, err
	}
	if err := s.remake(func(o *agentOptions) { o.config = file }); err != nil {
		return f, err
	}
	if err := errors.Join(s.watchEvents(), s.agent.start(), awaitAgent(ctx, s.agent, stopTime)); err != nil {
		return f, err
	}
	p, endPulse := s.pulse(ctx, 20*time.Millisecond)
	const cuts = 20
	named := 0
	for i := range cuts {
		if err := errors.Join(write(len(exampleConfig)*i/cuts+3), s.agent.signal(syscall.SIGHUP)); err != nil {
			return f, err
		}
		if _, ok := says(ctx, s.agent, "configuration-rejected", time.Second); ok {
			named++
		}
	}
	if err := errors.Join(write(len(exampleConfig)), s.agent.signal(syscall.SIGHUP)); err != nil {
		return f, err
	}
	_, over := calm(ctx, s.agent, "configuration-rejected", 10*time.Second)
	endPulse()
	p.settle(ctx, 10*time.Second)
	sent, open, took := p.served()
	f.say("%d reloads, named after %d of them; %d reports meanwhile, p50 / p99 %s", cuts, named, sent, took)
	f.want(named > 0, "configuration-rejected is not named")
	f.want(over, "it stands with a good configuration")
	f.want(open == 0, "%d of %d reports raised nothing", open, sent)
	f.want(len(s.agent.ownExits()) == 0, "the agent ended by itself")
	return f, nil
}

func itoa(n int) string { return strconv.Itoa(n) }
