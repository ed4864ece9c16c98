package store

import (
	"context"
	"fmt"
)

// shrink makes the file smaller when it has more pages than it may, a little at
// a time, so that no commit waits long.
func (s *Store) shrink(ctx context.Context) error {
	for {
		more, err := s.shrinkOnce(ctx)
		if err != nil || !more {
			return err
		}
	}
}

func (s *Store) shrinkOnce(ctx context.Context) (more bool, err error) {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.broken.Load() != nil {
		return false, nil
	}
	p := s.pools.Load()
	var pages, unused int64
	if err := p.stmts.pages.QueryRowContext(ctx).Scan(&pages, &unused); err != nil {
		return false, s.failed(ctx, fmt.Errorf("read the size of the store: %w", err), false)
	}
	over := pages - s.filePages()
	if over <= 0 {
		return false, nil
	}
	const step = 250 // pages
	if unused > 0 {
		query := fmt.Sprintf("PRAGMA incremental_vacuum(%d)", min(over, unused, step))
		if _, err := p.write.ExecContext(ctx, query); err != nil {
			return false, s.failed(ctx, fmt.Errorf("give free pages back: %w", err), false)
		}
		s.dirty.Store(true)
		return true, nil
	}
	w, err := s.begin(ctx)
	if err != nil {
		return false, s.failed(ctx, err, false)
	}
	defer w.rollback()
	c := cut{floor: s.floor, skip: s.skip}
	if err = s.letGo(w, &c, min(over, step)*pageSize, lookRows); err == nil && c.freed > 0 {
		err = s.keepCut(w, c)
	}
	if err != nil {
		return false, s.failed(ctx, err, false)
	}
	return c.freed > 0, nil
}

// keepCut commits a transaction that only let go of rows. It is a commit of its
// own: rows that stand for others bear its number.
func (s *Store) keepCut(w *writer, c cut) error {
	if err := w.commit(); err != nil {
		return err
	}
	s.saved.Store(c.cursor)
	s.commits = w.n
	s.dirty.Store(true)
	s.settleCut(c)
	s.note()
	return nil
}
