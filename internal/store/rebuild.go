package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
)

// chunkRows are copied in one transaction.
const chunkRows = 1000

// roomLeft is what a copy leaves on the disk, in bytes.
const roomLeft = 1 << 20

// rebuild copies what can be read of the file into a new one, which then takes
// its place: for damage, or (damage nil) to bring the first schema into the
// shape of this one. What it was made from is kept aside. A process that is
// killed meanwhile begins again, or finishes, at the next start.
func (s *Store) rebuild(ctx context.Context, damage error, sealed *witness) (*survey, error) {
	found := newSurvey()
	found.exists, found.damage = true, damage
	if err := s.makeWay(damage); err != nil {
		return found, err
	}
	c := copier{s: s, found: found, cursor: sealed.cursor}
	if err := c.copy(ctx); err != nil {
		return found, errors.Join(err, s.removeCopy())
	}
	found.sort()
	name := migrated
	if damage != nil {
		name = salvaged
	}
	if err := syncFile(s.file + copying); err != nil {
		return found, err
	}
	if err := os.Rename(s.file+copying, s.file+name); err != nil {
		return found, fmt.Errorf("name the copy of the store: %w", err)
	}
	if err := s.syncDir(); err != nil {
		return found, err
	}
	return found, s.finishAside()
}

// makeWay removes what an earlier copy left. With damage one older set at most
// stays beside the one that comes, and none where the disk is short of room.
func (s *Store) makeWay(damage error) error {
	if err := s.removeCopy(); err != nil {
		return err
	}
	if damage == nil {
		return nil
	}
	s.trouble("remove what was set aside", s.prune(asideDamaged, asideKept-1))
	info, err := os.Stat(s.file)
	if err != nil {
		return fmt.Errorf("look at the store: %w", err)
	}
	if free, err := s.free(); err == nil && free < info.Size()+roomLeft {
		s.opts.Log.Error("the disk has little room for a copy of the damaged store; older sets of files go", "free", free, "size", info.Size())
		s.trouble("remove what was set aside", s.prune(asideDamaged, 0))
	}
	if info.Mode().IsRegular() {
		return mendHeader(s.file)
	}
	return nil
}

func (s *Store) removeCopy() error {
	for _, part := range sidecars() {
		if err := os.Remove(s.file + copying + part); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove an unfinished copy: %w", err)
		}
	}
	return nil
}

func syncFile(name string) error {
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return fmt.Errorf("sync %s: %w", name, err)
	}
	return nil
}

// copier copies one file, and surveys what it copies.
type copier struct {
	s     *Store
	found *survey
	// cursor divides the log: what is not published yet is copied first.
	cursor int64
	dst    *sql.DB
	tx     *sql.Tx
	in     *sql.Stmt
	rows   [][]any // in this transaction
}

func (c *copier) copy(ctx context.Context) (err error) {
	mode := "rw" // the backup shall be one file, which needs no other beside it
	if c.found.damage != nil {
		mode = "salvage"
	}
	src, err := openDB(c.s.file, mode, c.s.opts.MaxSize)
	if err != nil {
		return err
	}
	defer func() { _ = src.Close() }() // it was only read
	if c.found.damage == nil {
		if err := fold(ctx, src); err != nil {
			return err
		}
	}
	if err := private(c.s.file + copying); err != nil {
		return err
	}
	if c.dst, err = openDB(c.s.file+copying, "new", c.s.opts.MaxSize); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, c.dst.Close()) }()
	if err := makeTables(ctx, c.dst); err != nil {
		return err
	}
	var n int
	if err := src.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema").Scan(&n); err != nil {
		c.found.unread++
		c.s.opts.Log.Error("nothing of the damaged store can be read", "err", err)
		return nil
	}
	for _, t := range tables(c.version(ctx, src)) {
		if err := c.table(ctx, src, t); err != nil {
			return err
		}
	}
	return nil
}

// fold moves the write-ahead log into the file.
func fold(ctx context.Context, db *sql.DB) error {
	if _, err := db.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)"); err != nil {
		return fmt.Errorf("move the write-ahead log into the file: %w", err)
	}
	return nil
}

// version tells the schema by its columns: a header may be damaged.
func (c *copier) version(ctx context.Context, src *sql.DB) int {
	has := func(column, table string) bool {
		var n int
		err := src.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info(?) WHERE name = ?", table, column).Scan(&n)
		return err == nil && n > 0
	}
	if has("crc", "meta") || !has("event_id", "log") {
		return schemaVersion
	}
	c.found.fromFirst = true
	return 1
}

// table copies one table; the log in two parts.
func (c *copier) table(ctx context.Context, src *sql.DB, t table) error {
	present := t
	for _, p := range tables(schemaVersion) {
		if p.name == t.name {
			present = p
		}
	}
	w := walker{db: src, table: t, tolerant: true}
	w.row = func(_ int64, row []any, sound bool) error { return c.row(ctx, &present, row, sound) }
	parts := []places{{1, w.last(ctx, 1<<20)}}
	if t.name == "log" {
		cursor := c.cursor
		if n, err := metaInt(c.found.meta, metaCursor); err == nil {
			cursor = max(cursor, n)
		}
		last := w.last(ctx, max(c.cursor, 1<<32))
		parts = []places{{cursor + 1, max(cursor+1, last)}, {1, max(1, min(cursor, last))}}
	}
	for _, part := range parts {
		err := w.walk(ctx, part.lo, part.hi)
		err = errors.Join(err, c.flush(&present, err == nil))
		if noRoom(err) && t.name == "log" {
			c.s.opts.Log.Error("there is no room to copy all that can be read of the damaged store; what is not copied stays in the file that is set aside", "err", err)
			c.found.cut = true
			break
		}
		if err != nil {
			return fmt.Errorf("copy table %s: %w", t.name, err)
		}
	}
	c.found.unread += w.gaps()
	return nil
}

// row copies one row.
func (c *copier) row(ctx context.Context, t *table, row []any, sound bool) error {
	if !sound {
		c.found.leftOut++
		if t.name == "problem" {
			c.found.badProblems++
		}
		return nil
	}
	if c.tx == nil {
		if err := c.begin(ctx, t); err != nil {
			return err
		}
	}
	row = slices.Clone(row) // the walker uses it again
	res, err := c.in.ExecContext(ctx, append(row, sum(row...))...)
	if err != nil {
		return fmt.Errorf("copy a row of %s: %w", t.name, err)
	}
	if n, err := res.RowsAffected(); err != nil || n == 0 {
		return err // its key was there already
	}
	c.rows = append(c.rows, row)
	if len(c.rows) >= chunkRows {
		return c.flush(t, true)
	}
	return nil
}

func (c *copier) begin(ctx context.Context, t *table) error {
	if free, err := c.s.free(); err == nil && free < roomLeft {
		return fmt.Errorf("copy the store: %w", syscall.ENOSPC)
	}
	var err error
	if c.tx, err = c.dst.BeginTx(ctx, nil); err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	if c.in, err = c.tx.PrepareContext(ctx, t.insert()); err != nil {
		return errors.Join(fmt.Errorf("copy table %s: %w", t.name, err), c.flush(t, false))
	}
	return nil
}

// flush ends a transaction; what it copied is there from then on.
func (c *copier) flush(t *table, keep bool) error {
	tx, rows := c.tx, c.rows
	if tx == nil {
		return nil
	}
	c.tx, c.in, c.rows = nil, nil, nil
	if !keep {
		return tx.Rollback()
	}
	if err := tx.Commit(); err != nil {
		return errors.Join(fmt.Errorf("copy table %s: %w", t.name, err), tx.Rollback())
	}
	for _, row := range rows {
		c.found.take(t.name, row)
	}
	return nil
}
