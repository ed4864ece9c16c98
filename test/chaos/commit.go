package main

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

const modeCommit = "commit"

func commitScenarios() []scenario {
	return []scenario{{
		modeCommit, "2", "crash inside a commit",
		"`strace` kills the agent as it enters a write or a sync of its store, a random number of them after the start; 100 times",
		"nothing acknowledged is lost; it starts again", crashInCommit,
	}}
}

// stopPoints are the system calls that a commit is made of. The program's other
// writes are to sockets, by write(2).
const stopPoints = "pwrite64,fdatasync,fsync,ftruncate"

// crashInCommit kills the agent at system calls of its commits, again and again
// on one store, while faults come in.
func crashInCommit(ctx context.Context, e *env) (finding, error) {
	var f finding
	if _, err := exec.LookPath("strace"); err != nil {
		return f, notHere{"strace is not installed"}
	}
	s, err := e.stage(ctx, staging{lines: []string{"persistence false", "max_queued_messages 0"}})
	if err != nil {
		return f, err
	}
	defer func() { _ = s.close() }() // it is judged already
	plain := s.agent.agentOptions
	rng := rand.New(rand.NewPCG(e.seed, 11)) //nolint:gosec // a plan that can be made again
	crowd, err := newCrowd(s.broker.Address(), "chaos-commit")
	if err != nil {
		return f, err
	}
	defer crowd.close()
	const perRound = 40
	rounds, n, crashes := e.scaled(100), 0, 0
	for range rounds {
		if err := s.agent.end(syscall.SIGKILL); err != nil {
			return f, err
		}
		// The first writes of a start are those of opening the store.
		err := s.remake(func(o *agentOptions) {
			*o = plain
			o.wrap = []string{
				"strace", "-D", "-f", "-qq", "-o", "/dev/null", "-e", "trace=" + stopPoints,
				"-e", "inject=" + stopPoints + ":signal=SIGKILL:when=" + strconv.Itoa(1+rng.IntN(60)),
			}
		})
		if err != nil {
			return f, err
		}
		if err := s.agent.start(); err != nil {
			return f, err
		}
		err = crowd.send(ctx, perRound, 200, func(i int) message {
			return message{"devices/commit-" + strconv.Itoa(n+i) + "/status", []byte(`{"status":-7}`), 1}
		})
		if n += perRound; err != nil {
			return f, err
		}
		for until := time.Now().Add(2 * time.Second); len(s.agent.ownExits()) == 0 && time.Now().Before(until); {
			pause(ctx, 10*time.Millisecond)
		}
		if exits := s.agent.ownExits(); len(exits) > 0 {
			crashes++
		}
	}
	if err := errors.Join(s.agent.end(syscall.SIGKILL), s.remake(func(o *agentOptions) { *o = plain })); err != nil {
		return f, err
	}
	if err := errors.Join(s.agent.start(), awaitAgent(ctx, s.agent, stopTime)); err != nil {
		return f, fmt.Errorf("no start after all: %w", err)
	}
	_, err = s.quiet(ctx, 30*time.Second)
	f.want(err == nil, "%v", err)
	f.say("%d faults, %d crashes inside a commit, %d raised at the app", n, crashes, s.received("raised"))
	f.want(s.received("raised") >= n, "%d of %d faults never came to the app", n-s.received("raised"), n)
	f.want(crashes > rounds/2, "only %d of %d starts were killed", crashes, rounds)
	return f, nil
}
