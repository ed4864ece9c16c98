package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"fieldmedic/internal/diagnose"
)

// breakage is why the file must be opened and checked anew before anything is
// committed: after a failed sync the kernel may have forgotten what was written,
// and another try on the same file would report success for it.
type breakage struct {
	err error
	// told: a commit failed for it, so the loop knows.
	told bool
}

// failed judges an error of a transaction.
func (s *Store) failed(ctx context.Context, err error, told bool) error {
	if ctx.Err() != nil {
		return err
	}
	if code(err) == 0 && !noRoom(err) && !ioFailed(err) && !damaged(err) {
		return err // it could not be encoded, say
	}
	if !noRoom(err) {
		s.breaks(err, told)
	}
	return s.journalError(err)
}

// breaks notes a breakage.
func (s *Store) breaks(err error, told bool) {
	b := s.broken.Load()
	if b == nil || told && !b.told {
		s.broken.CompareAndSwap(b, &breakage{err: err, told: told})
	}
}

// reading looks at an error of a reader: what cannot be read must not stay
// until the next start.
func (s *Store) reading(err error) error {
	if damaged(err) || errors.Is(err, errDamaged) {
		s.breaks(err, false)
	}
	return err
}

// resume gets the file ready for a commit after a breakage. Where a reader met
// it, the commit fails first: the loop must know, for its engine may be ahead.
// done: the batch is in the file, a commit that failed had written it.
func (s *Store) resume(ctx context.Context, b *diagnose.Batch) (done bool, err error) {
	if b := s.broken.Load(); !b.told {
		s.breaks(b.err, true)
		return false, s.journalError(b.err)
	}
	if err := s.heal(ctx); err != nil {
		return false, s.journalError(err)
	}
	return s.has(ctx, b)
}

// heal closes everything, and opens and checks the file as a start does. What
// the write-ahead log holds is written to the file and synced.
func (s *Store) heal(ctx context.Context) error {
	if err := s.pools.Load().close(); err != nil {
		s.opts.Log.Warn("closing the store failed, it is opened anew", "err", err)
	}
	if err := s.start(ctx); err != nil {
		return fmt.Errorf("open the store anew: %w", err)
	}
	if err := s.cutWAL(ctx); err != nil {
		return err
	}
	s.opts.Log.Info("the store was opened anew after a fault", "fault", s.broken.Load().err)
	s.broken.Store(nil)
	return nil
}

// cutWAL moves the write-ahead log into the file and cuts it. Readers may hold
// it up for a moment.
func (s *Store) cutWAL(ctx context.Context) error {
	for range 50 {
		var busy, frames, moved int
		row := s.pools.Load().write.QueryRowContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
		if err := row.Scan(&busy, &frames, &moved); err != nil {
			return fmt.Errorf("move the write-ahead log into the file: %w", err)
		}
		if busy == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(10 * time.Millisecond):
		}
	}
	return errors.New("move the write-ahead log into the file: readers hold it")
}

// has tells that the log holds a batch's events as they are.
func (s *Store) has(ctx context.Context, b *diagnose.Batch) (bool, error) {
	if len(b.Entries) == 0 || b.Entries[0].Seq > s.seq.Load() {
		return false, nil
	}
	kept, _, err := s.entries(ctx, "WHERE seq BETWEEN ? AND ? ORDER BY seq", b.Entries[0].Seq, b.Entries[len(b.Entries)-1].Seq)
	if err != nil || len(kept) != len(b.Entries) {
		return false, err
	}
	for i := range kept {
		if kept[i].EventID != b.Entries[i].EventID || !bytes.Equal(kept[i].Body, b.Entries[i].Body) {
			return false, nil
		}
	}
	return true, nil
}

// Recover makes the store fit for use after a Commit failed, and reads
// everything from it. Errors are those of Commit; it can be tried again.
func (s *Store) Recover(ctx context.Context) (diagnose.Restored, error) {
	s.writing.Lock()
	if s.broken.Load() != nil {
		if err := s.heal(ctx); err != nil {
			s.writing.Unlock()
			return diagnose.Restored{}, s.journalError(err)
		}
	}
	s.writing.Unlock()
	r, err := s.Restore(ctx)
	if err != nil {
		return r, s.journalError(err)
	}
	return r, nil
}
