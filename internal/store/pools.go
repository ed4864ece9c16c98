package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

// pools are the connections to one file.
type pools struct {
	write, read *sql.DB
	// upkeep is a connection of its own for checkpoints, which need not wait
	// for commits, nor commits for them.
	upkeep *sql.DB
	stmts  statements
}

func (p *pools) close() error {
	p.stmts.close()
	var errs []error
	for _, db := range []*sql.DB{p.read, p.upkeep, p.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// openPools opens the file, and makes the tables of an empty one.
func (s *Store) openPools(ctx context.Context) (*pools, error) {
	if err := private(s.file); err != nil {
		return nil, err
	}
	p := &pools{}
	for _, pool := range []struct {
		to    **sql.DB
		mode  string
		conns int
	}{{&p.write, "rwc", 1}, {&p.read, "ro", 4}, {&p.upkeep, "rw", 1}} {
		db, err := openDB(s.file, pool.mode, s.opts.MaxSize)
		if err != nil {
			return nil, errors.Join(err, p.close())
		}
		db.SetMaxOpenConns(pool.conns)
		db.SetMaxIdleConns(pool.conns)
		*pool.to = db
		if pool.mode == "rwc" {
			if err := makeTables(ctx, db); err != nil {
				return nil, errors.Join(fmt.Errorf("prepare %s: %w", s.file, err), p.close())
			}
		}
	}
	if err := p.stmts.prepare(ctx, p.write); err != nil {
		return nil, errors.Join(fmt.Errorf("prepare statements on %s: %w", s.file, err), p.close())
	}
	return p, nil
}

// private makes sure that only we may read the file; SQLite gives the files
// beside it the same mode.
func private(file string) error {
	if info, err := os.Lstat(file); err == nil && !info.Mode().IsRegular() {
		return &damageError{fmt.Errorf("%s is no file", file)}
	}
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	return f.Close()
}

// openDB opens one pool. Synchronous FULL makes a commit wait for the disk;
// the size of the write-ahead log is kept down by Run, with SQLite's own
// checkpoint as the guard behind it. Mode "rwc" makes the file where it is
// missing, "new" makes one for copying into: it is synced when it is complete.
// "salvage" reads a damaged one.
func openDB(file, mode string, maxSize int64) (*sql.DB, error) {
	wal := walPages(maxSize)
	pragmas := []string{
		"busy_timeout(5000)", "synchronous(FULL)", fmt.Sprintf("wal_autocheckpoint(%d)", wal),
		fmt.Sprintf("journal_size_limit(%d)", wal*pageSize), "cache_size(-2000)", "temp_store(MEMORY)", "foreign_keys(OFF)",
	}
	q := url.Values{"mode": {mode}}
	switch mode {
	case "rwc":
		pragmas = append([]string{"auto_vacuum(INCREMENTAL)", "journal_mode(WAL)"}, pragmas...)
		q.Set("_txlock", "immediate")
	case "new":
		pragmas = []string{"auto_vacuum(INCREMENTAL)", "journal_mode(MEMORY)", "synchronous(OFF)", "cache_size(-8000)", "temp_store(MEMORY)"}
		q.Set("mode", "rwc")
	}
	if mode == "salvage" {
		// SQLite is to read what it can, a damaged schema as well.
		pragmas = []string{"busy_timeout(5000)", "writable_schema(ON)"}
		q.Set("mode", "ro")
	}
	q["_pragma"] = pragmas
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: q.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// makeTables makes the schema in an empty file.
func makeTables(ctx context.Context, db *sql.DB) error {
	var version int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	if version != 0 {
		return nil
	}
	tx, err := db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("make the schema: %w", err)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
		return fmt.Errorf("note the schema's version: %w", err)
	}
	return tx.Commit()
}
