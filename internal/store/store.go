// Package store keeps what must outlive the process: the append-only log of
// changes, the current problems, and people's decisions. It is one SQLite file
// in write-ahead mode; a commit has reached the disk when it returns.
//
// The log above the publish cursor is the outbox: there is no second queue.
package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"fieldmedic/internal/diagnose"
)

// FileName is the store's file in the state directory.
const FileName = "fieldmedic.db"

// schemaVersion is PRAGMA user_version of the schema below.
const schemaVersion = 1

const schema = `
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE log (
  seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, device TEXT NOT NULL, condition TEXT NOT NULL,
  type TEXT NOT NULL, event_id TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE INDEX log_device ON log (device, seq);
CREATE INDEX log_at ON log (at);
CREATE TABLE device (id TEXT PRIMARY KEY, body BLOB NOT NULL, crc INTEGER NOT NULL) STRICT;
CREATE TABLE problem (
  device TEXT NOT NULL, condition TEXT NOT NULL, body BLOB NOT NULL, crc INTEGER NOT NULL,
  PRIMARY KEY (device, condition)) STRICT;
CREATE TABLE sitewide (condition TEXT PRIMARY KEY, body BLOB NOT NULL) STRICT;
`

// Options of a store.
type Options struct {
	// Dir is the state directory; it is made where it is missing.
	Dir string
	// Retention is how long published history is kept.
	Retention time.Duration
	// MaxSize in bytes is what the file does not grow past, as far as
	// published history can be given up for it.
	MaxSize int64
	Log     *slog.Logger
}

// Store is safe for concurrent use: one writer, readers beside it.
type Store struct {
	opts  Options
	lock  *dirLock
	write *sql.DB
	read  *sql.DB
	// upkeep is a connection of its own for checkpoints, which need not wait
	// for commits, nor commits for them.
	upkeep *sql.DB
	stmts  statements
	epoch  uuid.UUID
	born   time.Time

	// cursor is the highest sequence number that every event up to was
	// published; saved is the one that the file knows of.
	cursor atomic.Int64
	saved  atomic.Int64
	seq    atomic.Int64
	dirty  atomic.Bool // there are commits that no checkpoint has seen

	tail tail
	// writing keeps maintenance and commits apart: one transaction at a time.
	writing sync.Mutex
}

// Open takes the state directory and opens the store in it. Errors: the
// directory is held by another agent (it is named by its pid), the schema is
// newer than this program knows, or the file cannot be read.
func Open(ctx context.Context, opts Options) (*Store, error) {
	if err := os.MkdirAll(opts.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the state directory: %w", err)
	}
	lock, err := lockDir(opts.Dir)
	if err != nil {
		return nil, err
	}
	s := &Store{opts: opts, lock: lock}
	if err := s.open(ctx); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

func (s *Store) open(ctx context.Context) error {
	file := filepath.Join(s.opts.Dir, FileName)
	if err := private(file); err != nil {
		return err
	}
	var err error
	if s.write, err = s.openDB(file, "rwc", 1); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return fmt.Errorf("prepare %s: %w", file, err)
	}
	if s.read, err = s.openDB(file, "ro", 4); err != nil {
		return err
	}
	if s.upkeep, err = s.openDB(file, "rw", 1); err != nil {
		return err
	}
	if err := s.stmts.prepare(ctx, s.write); err != nil {
		return fmt.Errorf("prepare statements on %s: %w", file, err)
	}
	return s.load(ctx)
}

// private makes sure that only we may read the file; SQLite gives the files
// beside it the same mode.
func private(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	return f.Close()
}

// openDB opens one pool. Synchronous FULL makes a commit wait for the disk;
// the size of the write-ahead log is kept down by Run, with SQLite's own
// checkpoint as the guard behind it.
func (s *Store) openDB(file, mode string, conns int) (*sql.DB, error) {
	wal := walPages(s.opts.MaxSize)
	q := url.Values{"mode": {mode}, "_pragma": {
		"busy_timeout(5000)", "synchronous(FULL)", fmt.Sprintf("wal_autocheckpoint(%d)", wal),
		fmt.Sprintf("journal_size_limit(%d)", wal*pageSize), "cache_size(-2000)", "temp_store(MEMORY)", "foreign_keys(OFF)",
	}}
	if mode == "rwc" {
		q["_pragma"] = append([]string{"auto_vacuum(INCREMENTAL)", "journal_mode(WAL)"}, q["_pragma"]...)
		q.Set("_txlock", "immediate")
	}
	dsn := (&url.URL{Scheme: "file", Opaque: (&url.URL{Path: file}).EscapedPath(), RawQuery: q.Encode()}).String()
	db, err := sql.Open("sqlite", dsn)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", file, err)
	}
	db.SetMaxOpenConns(conns)
	db.SetMaxIdleConns(conns)
	return db, nil
}

// migrate makes the schema in an empty file, and refuses a newer one.
func (s *Store) migrate(ctx context.Context) error {
	var version int
	if err := s.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	switch {
	case version == schemaVersion:
		return nil
	case version > schemaVersion:
		return fmt.Errorf("the store has schema %d, this program knows %d: install the newer program, or move the file away to start with an empty store",
			version, schemaVersion)
	}
	tx, err := s.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback() }() // after a commit it does nothing
	if _, err := tx.ExecContext(ctx, schema); err != nil {
		return fmt.Errorf("make the schema: %w", err)
	}
	_, err = tx.ExecContext(ctx, "INSERT INTO meta VALUES ('epoch', ?), ('born', ?), ('cursor', '0')",
		uuid.NewString(), strconv.FormatInt(time.Now().UnixMilli(), 10))
	if err != nil {
		return fmt.Errorf("give the store its epoch: %w", err)
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
		return fmt.Errorf("note the schema's version: %w", err)
	}
	return tx.Commit()
}

// load reads what the store knows of itself.
func (s *Store) load(ctx context.Context) error {
	born, err := s.metaInt(ctx, "born")
	if err != nil {
		return err
	}
	s.born = time.UnixMilli(born)
	cursor, err := s.metaInt(ctx, "cursor")
	if err != nil {
		return err
	}
	s.cursor.Store(cursor)
	s.saved.Store(cursor)
	var epoch string
	if err := s.write.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = 'epoch'").Scan(&epoch); err != nil {
		return fmt.Errorf("read the store's epoch: %w", err)
	}
	if s.epoch, err = uuid.Parse(epoch); err != nil {
		return fmt.Errorf("read the store's epoch: %w", err)
	}
	var last sql.NullInt64
	if err := s.write.QueryRowContext(ctx, "SELECT max(seq) FROM log").Scan(&last); err != nil {
		return fmt.Errorf("read the last sequence number: %w", err)
	}
	// The log may have been trimmed to nothing: what was published was given.
	s.seq.Store(max(last.Int64, cursor))
	return nil
}

func (s *Store) metaInt(ctx context.Context, key string) (int64, error) {
	var text string
	if err := s.write.QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", key).Scan(&text); err != nil {
		return 0, fmt.Errorf("read %q of the store: %w", key, err)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("read %q of the store: %w", key, err)
	}
	return n, nil
}

// Epoch is the store's uuid: a new store is a new epoch of sequence numbers.
func (s *Store) Epoch() string { return s.epoch.String() }

// EventID is the id of the event with this sequence number: the same for ever.
func (s *Store) EventID(seq int64) string {
	return uuid.NewSHA1(s.epoch, strconv.AppendInt(nil, seq, 10)).String()
}

// Close saves the cursor, and lets file and directory go.
func (s *Store) Close() error {
	var errs []error
	if s.write != nil {
		errs = append(errs, s.saveCursor(context.Background()))
		s.stmts.close()
	}
	for _, db := range []*sql.DB{s.read, s.upkeep, s.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	errs = append(errs, s.lock.release())
	return errors.Join(errs...)
}

// decode errors of stored rows speak of the row, not of the reader.
var errDamaged = errors.New("the row does not match its checksum")

// compile-time proof that the hub's interface is met.
var _ diagnose.Journal = (*Store)(nil)
