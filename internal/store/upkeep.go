package store

import (
	"context"
	"fmt"
	"math"
	"time"
)

const (
	// cursorEvery bounds what is published again after a crash.
	cursorEvery = time.Second
	// trimEvery is how often old history is looked for.
	trimEvery = 10 * time.Second
	// trimRows bounds one transaction of the trimming, so that commits of the
	// loop never wait long.
	trimRows = 500
	// pageSize is SQLite's, in bytes.
	pageSize = 4096
)

// walPages is how long the write-ahead log grows before a commit moves it into
// the file, in pages: an eighth of what the store may take, within bounds.
func walPages(maxSize int64) int64 { return max(32, min(maxSize/8/pageSize, 2000)) }

// Run saves the cursor, moves the write-ahead log into the file, and trims old
// history, until ctx ends. Trouble is logged once until it stops, and tried
// again: it is the commit that says whether the store works.
func (s *Store) Run(ctx context.Context) error {
	save, trim := time.NewTicker(cursorEvery), time.NewTicker(trimEvery)
	defer save.Stop()
	defer trim.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-save.C:
			s.chore(ctx, "save the cursor", s.saveCursor)
			s.chore(ctx, "move the write-ahead log into the file", s.checkpoint)
			s.measure()
			s.chore(ctx, "keep the store's file small", s.keepSmall)
		case <-trim.C:
			s.chore(ctx, "trim old history", func(ctx context.Context) error { return s.Trim(ctx, s.opts.Now()) })
			s.sayGivenUp()
			s.chore(ctx, "keep the reserve", func(context.Context) error { return s.keepReserve() })
			s.chore(ctx, "keep the seal", func(context.Context) error { return s.keepSeal() })
		}
	}
}

// chore does one of the above.
func (s *Store) chore(ctx context.Context, what string, do func(context.Context) error) {
	if err := do(ctx); ctx.Err() == nil {
		s.trouble(what, err)
	}
}

// checkpoint moves what commits wrote into the file, as far as readers let it.
func (s *Store) checkpoint(ctx context.Context) error {
	if !s.dirty.Swap(false) {
		return nil
	}
	if _, err := s.pools.Load().upkeep.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		s.dirty.Store(true)
		return fmt.Errorf("move the write-ahead log into the file: %w", err)
	}
	return nil
}

// keepSmall holds file and write-ahead log to their size.
func (s *Store) keepSmall(ctx context.Context) error {
	if err := s.shrink(ctx); err != nil {
		return err
	}
	limit := s.limit.Load()
	if s.taken() <= limit && sizeOf(s.file+"-wal") <= limit/4 && sizeOf(s.file) <= (s.filePages()+walPages(limit))*pageSize {
		return nil
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.broken.Load() != nil {
		return nil
	}
	return s.cutWAL(ctx)
}

// Trim lets go of published history that is older than the retention, unless
// the clock is not to be believed, and of as much as the size asks for.
func (s *Store) Trim(ctx context.Context, now time.Time) error {
	for !s.opts.ClockSuspect() {
		n, err := s.trimOld(ctx, now)
		if err != nil {
			return err
		}
		if n < trimRows {
			break
		}
	}
	return s.keepSmall(ctx)
}

// trimOld lets go of up to trimRows of what is too old. The order of the log is
// the order of time, whatever a clock that jumped made of the stamps: a row is
// as old as the newest stamp up to it, and stamps from the future say nothing.
func (s *Store) trimOld(ctx context.Context, now time.Time) (int, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.broken.Load() != nil {
		return 0, nil
	}
	w, err := s.begin(ctx)
	if err != nil {
		return 0, s.failed(ctx, err, false)
	}
	defer w.rollback()
	cursor, cutoff := s.cursor.Load(), now.Add(-s.opts.Retention).UnixMilli()
	list, err := look(w, s.floor, cursor, trimRows, math.MaxInt64, func(*outRow) bool { return false })
	if err != nil {
		return 0, s.failed(ctx, err, false)
	}
	c := cut{floor: s.floor, skip: s.skip}
	n := old(list, now.UnixMilli(), cutoff, &c)
	if n == 0 {
		return 0, nil
	}
	w.direct("DELETE FROM log WHERE seq <= ?", c.floor)
	s.noteCut(w, &c, cursor)
	if w.err == nil {
		err = s.keepCut(w, c)
	} else {
		err = w.err
	}
	if err != nil {
		return 0, s.failed(ctx, fmt.Errorf("trim history: %w", err), false)
	}
	return n, nil
}

// old counts the rows at the front of the list that are older than cutoff.
func old(list []outRow, now, cutoff int64, c *cut) int {
	n, newest := 0, int64(-1)
	for i, r := range list {
		if r.at <= now {
			newest = max(newest, r.at)
		}
		if newest >= cutoff {
			break
		}
		if newest >= 0 {
			n = i + 1
			c.floor = r.To
			c.freed += r.bytes
		}
	}
	return n
}
