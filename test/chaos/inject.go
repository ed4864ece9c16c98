package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// inject does one fault to its end, and answers who waits for the first event
// after it.
func (s *site) inject(ctx context.Context, c card) (*waiter, error) {
	var err error
	s.detected = ""
	switch c.fault {
	case agentKill:
		err = s.restartAgent(ctx, syscall.SIGKILL, c.hold)
	case agentTerm:
		err = s.restartAgent(ctx, syscall.SIGTERM, c.hold)
	case brokerKill:
		err = s.restartBroker(ctx, s.broker.Kill, c.hold)
	case brokerTerm:
		err = s.restartBroker(ctx, s.broker.Stop, c.hold)
	case bothKill:
		err = errors.Join(s.agent.end(syscall.SIGKILL), s.restartBroker(ctx, s.broker.Kill, c.hold), s.agent.start())
	case agentFreeze, agentHang:
		err = s.agent.signal(syscall.SIGSTOP)
		pause(ctx, c.hold)
		err = errors.Join(err, s.agent.signal(syscall.SIGCONT))
	case brokerFreeze, brokerHang:
		err = s.broker.Signal(syscall.SIGSTOP)
		s.endure(ctx, c)
		err = errors.Join(err, s.broker.Signal(syscall.SIGCONT))
	case linkCut:
		s.proxy.cut()
	case linkDown:
		s.proxy.refuse()
		s.proxy.cut()
		pause(ctx, c.hold)
		err = s.proxy.open()
	case linkHalfOpen:
		return s.halfOpen(ctx, c), nil
	case linkStall:
		s.under(ctx, weather{still: make(chan struct{})}, c.hold)
	case linkDelay:
		s.under(ctx, weather{latency: 400 * time.Millisecond, jitter: 100 * time.Millisecond}, c.hold)
	case linkSlow:
		s.under(ctx, weather{rate: 32_000 / 8}, c.hold)
	case diskFull:
		err = s.fill(ctx, c)
	case storeDamage:
		err = s.damage(ctx, c.dice)
	default:
		err = s.harsh(ctx, c)
	}
	return s.ledger.await(), err
}

func (s *site) restartAgent(ctx context.Context, signal syscall.Signal, hold time.Duration) error {
	if err := s.agent.end(signal); err != nil {
		s.broke("%s: %v", time.Now().Format(stamp), err)
	}
	pause(ctx, hold)
	return s.agent.start()
}

// restartBroker: while nobody listens the proxy refuses as well.
func (s *site) restartBroker(ctx context.Context, end func() error, hold time.Duration) error {
	s.proxy.refuse()
	err := end()
	pause(ctx, hold)
	return errors.Join(err, s.broker.Run(), s.proxy.open())
}

func (s *site) under(ctx context.Context, now weather, hold time.Duration) {
	s.proxy.set(now)
	pause(ctx, hold)
	s.proxy.set(weather{})
}

// halfOpen is over when the agent noticed it: the recovery counts from its
// beginning.
func (s *site) halfOpen(ctx context.Context, c card) *waiter {
	end := s.proxy.halfOpen()
	w := s.ledger.await()
	select {
	case <-w.done:
	case <-ctx.Done():
	case <-time.After(c.hold):
	}
	end()
	return w
}

// fill takes all room of the state directory's file system, and gives it back.
func (s *site) fill(ctx context.Context, c card) error {
	name := filepath.Join(s.state, "filler")
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	for _, size := range []int{1 << 20, 4096, 1} {
		for block := make([]byte, size); err == nil; {
			_, err = f.Write(block)
		}
		if !errors.Is(err, syscall.ENOSPC) {
			return errors.Join(fmt.Errorf("fill the disk: %w", err), f.Close())
		}
		err = nil
	}
	s.endure(ctx, c)
	return errors.Join(f.Close(), os.Remove(name))
}

// damage spoils the store between a kill and the next start. A store that the
// agent cannot start on is moved away after a while, as a person would do.
func (s *site) damage(ctx context.Context, dice uint64) error {
	if err := s.agent.end(syscall.SIGKILL); err != nil {
		return err
	}
	what, err := spoil(s.state, dice)
	if err != nil {
		return err
	}
	s.spoiled = what
	s.watcher.again()
	s.damages = append(s.damages, time.Now())
	before := len(s.agent.ownExits())
	if err := s.agent.start(); err != nil {
		return err
	}
	for range 100 {
		if _, err = s.agent.get(ctx, "/healthz"); err == nil {
			return nil
		}
		pause(ctx, 50*time.Millisecond)
	}
	s.broke("%s: no start on a damaged store (%s) after %d tries: %v", time.Now().Format(stamp), what, len(s.agent.ownExits())-before, err)
	err = s.agent.end(syscall.SIGKILL)
	files, _ := filepath.Glob(filepath.Join(s.state, "fieldmedic.*")) // the pattern is a good one
	for _, f := range files {
		err = errors.Join(err, os.Rename(f, f+"."+time.Now().Format("150405")+".away"))
	}
	return errors.Join(err, s.agent.start())
}
