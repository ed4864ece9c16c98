package store

import (
	"context"
	"fmt"
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
func walPages(maxSize int64) int64 { return max(64, min(maxSize/8/pageSize, 2000)) }

// Run saves the cursor, moves the write-ahead log into the file, and trims old
// history, until ctx ends. Trouble is logged and tried again: it is the commit
// that says whether the store works.
func (s *Store) Run(ctx context.Context) error {
	save, trim := time.NewTicker(cursorEvery), time.NewTicker(trimEvery)
	defer save.Stop()
	defer trim.Stop()
	for {
		var err error
		select {
		case <-ctx.Done():
			return nil
		case <-save.C:
			err = s.settle(ctx)
		case <-trim.C:
			err = s.Trim(ctx, time.Now())
		}
		if err != nil && ctx.Err() == nil {
			s.opts.Log.Warn("upkeep of the store", "err", err)
		}
	}
}

func (s *Store) settle(ctx context.Context) error {
	if err := s.saveCursor(ctx); err != nil {
		return err
	}
	if !s.dirty.Swap(false) {
		return nil
	}
	if _, err := s.upkeep.ExecContext(ctx, "PRAGMA wal_checkpoint(PASSIVE)"); err != nil {
		return fmt.Errorf("move the write-ahead log into the file: %w", err)
	}
	return nil
}

// Trim lets go of published history that is older than the retention, and then
// of the oldest while the file is larger than it may be. What is not published
// yet is never let go here.
func (s *Store) Trim(ctx context.Context, now time.Time) error {
	if err := s.saveCursor(ctx); err != nil {
		return err
	}
	old, err := s.trimOld(ctx, now.Add(-s.opts.Retention))
	if err != nil {
		return err
	}
	large, err := s.trimLarge(ctx)
	if err != nil || !old && !large {
		return err
	}
	return s.truncate(ctx)
}

// trimOld lets go of what is older than cutoff, and tells whether there was
// any.
func (s *Store) trimOld(ctx context.Context, cutoff time.Time) (trimmed bool, err error) {
	for {
		n, err := s.deleteOldest(ctx, "at < ?", cutoff.UnixMilli())
		if err != nil || n == 0 {
			return trimmed, err
		}
		trimmed = true
	}
}

// trimLarge lets go of the oldest while the file is larger than it may be, less
// the room that the write-ahead log takes.
func (s *Store) trimLarge(ctx context.Context) (trimmed bool, err error) {
	most := s.opts.MaxSize - walPages(s.opts.MaxSize)*pageSize
	for {
		size, err := s.size(ctx)
		if err != nil || size <= most {
			return trimmed, err
		}
		n, err := s.deleteOldest(ctx, "1")
		if err != nil || n == 0 {
			return trimmed, err
		}
		trimmed = true
		if err := s.vacuum(ctx); err != nil {
			return trimmed, err
		}
	}
}

// truncate moves the write-ahead log into the file and cuts both to what they
// hold.
func (s *Store) truncate(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return fmt.Errorf("cut the write-ahead log: %w", err)
	}
	return nil
}

func (s *Store) deleteOldest(ctx context.Context, where string, args ...any) (int64, error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	// The cursor in the file, not the one in memory: were the newest rows gone
	// and the cursor behind them, a crash would make their numbers be given
	// again, to other events with the same ids.
	args = append(args, s.saved.Load(), trimRows)
	res, err := s.write.ExecContext(ctx,
		"DELETE FROM log WHERE seq IN (SELECT seq FROM log WHERE "+where+" AND seq <= ? ORDER BY seq LIMIT ?)", args...)
	if err != nil {
		return 0, fmt.Errorf("trim history: %w", err)
	}
	return res.RowsAffected()
}

// size is what the file's pages in use take, in bytes.
func (s *Store) size(ctx context.Context) (int64, error) {
	var size int64
	err := s.read.QueryRowContext(ctx,
		"SELECT (page_count - freelist_count) * page_size FROM pragma_page_count, pragma_freelist_count, pragma_page_size").Scan(&size)
	if err != nil {
		return 0, fmt.Errorf("read the size of the store: %w", err)
	}
	return size, nil
}

func (s *Store) vacuum(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	if _, err := s.write.ExecContext(ctx, "PRAGMA incremental_vacuum(2000)"); err != nil {
		return fmt.Errorf("give free pages back: %w", err)
	}
	return nil
}
