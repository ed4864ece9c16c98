package store

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"time"

	"fieldmedic/internal/diagnose"
)

// How long a start waits for a disk that is full or fails, before it tries
// again.
const (
	waitFirst = 500 * time.Millisecond
	waitMost  = 5 * time.Second
)

// Open takes the state directory and opens the store in it. What is damaged is
// set aside and what can be read of it is kept; Opened tells of it. On a full
// disk it waits until there is room, or ctx ends. Errors: the directory is held
// by another agent (it is named by its pid), the schema is newer than this
// program knows (*NewerSchemaError), or we may not read or make something.
func Open(ctx context.Context, opts Options) (*Store, error) {
	s := newStore(opts)
	if err := s.patiently(ctx, s.hold, noRoom); err != nil {
		return nil, err
	}
	if err := s.patiently(ctx, s.start, s.waits); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	s.measure()
	s.trouble("keep the reserve", s.keepReserve())
	return s, nil
}

// hold makes the state directory and takes it.
func (s *Store) hold(context.Context) error {
	if err := os.MkdirAll(s.opts.Dir, 0o700); err != nil {
		return fmt.Errorf("make the state directory: %w", err)
	}
	lock, err := lockDir(s.opts.Dir)
	s.lock = lock
	return err
}

// patiently runs f until it works, or fails with what waiting does not help.
func (s *Store) patiently(ctx context.Context, f func(context.Context) error, waits func(error) bool) error {
	wait := waitFirst
	for {
		err := f(ctx)
		if err == nil {
			s.trouble("open the store", nil)
			return nil
		}
		if ctx.Err() != nil || !waits(err) {
			return err
		}
		fault := &diagnose.JournalError{Fault: s.fault(err), Err: err}
		if s.giveReserve() {
			continue // that may do
		}
		s.sayWaiting(fault)
		s.opts.Waiting(fault)
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the disk: %w", errors.Join(ctx.Err(), err))
		case <-time.After(wait):
		}
		wait = min(2*wait, waitMost)
	}
}

// sayWaiting logs once that a start waits.
func (s *Store) sayWaiting(fault *diagnose.JournalError) {
	s.mu.Lock()
	said := s.troubles["open the store"]
	s.troubles["open the store"] = true
	s.mu.Unlock()
	if !said {
		s.opts.Log.Error("the store cannot be opened, this is tried again until it works", "state", fault.Fault, "err", fault.Err)
	}
}

// final: another try cannot do better.
func final(err error) bool {
	var newer *NewerSchemaError
	return errors.As(err, &newer) || errors.Is(err, fs.ErrPermission)
}

// waits: another try may do better.
func (s *Store) waits(err error) bool { return !final(err) }

// start opens the file, whatever its state. The caller holds s.writing, or is
// alone.
func (s *Store) start(ctx context.Context) error {
	for {
		err := s.guarded(ctx)
		switch {
		case err == nil:
			s.forced, s.abandoned = nil, false
			s.forgetFailedStarts()
			return nil
		case ctx.Err() != nil, final(err), noRoom(err), ioFailed(err) && !damaged(err):
			return err
		}
		s.opts.Log.Error("opening the store failed", "err", err)
		s.forced = err
		if !s.noteFailedStart(s.opts.Now()) {
			continue
		}
		if s.abandoned {
			return err // nothing is left to set aside: wait
		}
		if err := s.abandon(err); err != nil {
			return err
		}
	}
}

// abandon sets everything aside after too many failures.
func (s *Store) abandon(why error) error {
	names, err := s.moveAside(asideDamaged)
	if err != nil {
		return err
	}
	s.abandoned, s.forced = true, nil
	s.tell(func(r *OpenReport) {
		r.Empty = true
		r.Damage = why.Error()
		r.SetAside = append(r.SetAside, names...)
	})
	s.opts.Log.Error("the store is damaged and could not be opened again and again: everything is set aside, and an empty one begins",
		"failures", startsMost, "set_aside", names, "err", why)
	return nil
}

// guarded turns a panic in the database's code into damage, and so a fault of
// memory that is mapped from a file.
func (s *Store) guarded(ctx context.Context) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = &damageError{fmt.Errorf("opening it panicked: %v", r)}
		}
	}()
	if s.try != nil {
		if err := s.try(); err != nil {
			return err
		}
	}
	return s.attempt(ctx)
}

// attempt is one try.
func (s *Store) attempt(ctx context.Context) error {
	if err := s.finishAside(); err != nil {
		return err
	}
	name := filepath.Join(s.opts.Dir, sealName)
	sealed, err := readSeal(name)
	if err != nil && errors.Is(err, fs.ErrPermission) {
		return err
	}
	b := books{s: s, sealed: sealed, witnessed: err == nil}
	if s.pools.Load() != nil { // it is opened anew: we know best
		b.sealed, b.witnessed = s.witness(), true
	}
	if b.found, err = s.examine(ctx, &b.sealed); err != nil {
		return err
	}
	if s.seal == nil {
		if s.seal, err = openSeal(name, sealed.turn); err != nil {
			return err
		}
	}
	if b.p, err = s.openPools(ctx); err != nil {
		return err
	}
	if err := b.balance(ctx); err != nil {
		return errors.Join(err, b.p.close())
	}
	s.pools.Store(b.p)
	return nil
}
