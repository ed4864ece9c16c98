package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// examine looks at the whole file before anything is written to it. A damaged
// one is set aside, and what can be read of it copied; one of an older schema
// is kept beside its copy. It tells what the file in place holds then.
func (s *Store) examine(ctx context.Context, sealed *witness) (*survey, error) {
	found := newSurvey()
	info, err := os.Lstat(s.file)
	switch {
	case errors.Is(err, os.ErrNotExist) || err == nil && info.Mode().IsRegular() && info.Size() == 0:
		return found, s.orphaned()
	case err != nil:
		return found, fmt.Errorf("look at the store: %w", err)
	}
	found.exists = true
	damage := s.forced
	version := schemaVersion
	if damage == nil {
		version, err = s.inspect(ctx, found)
		switch {
		case err == nil:
		case ctx.Err() != nil, final(err), !damaged(err) && (code(err) == 0 || ioFailed(err) || noRoom(err)):
			return found, err
		default: // a table is not there, and the like
			damage = err
		}
	}
	if damage == nil && version != 1 {
		return found, nil
	}
	if damage != nil {
		s.opts.Log.Error("the store is damaged: it will be set aside, and what can be read of it copied", "err", damage)
	}
	return s.rebuild(ctx, damage, sealed)
}

// orphaned sets a write-ahead log aside that has lost its file: SQLite would
// delete it.
func (s *Store) orphaned() error {
	if sizeOf(s.file+"-wal") == 0 {
		return nil
	}
	names, err := s.moveAside(asideDamaged)
	if err != nil {
		return err
	}
	s.opts.Log.Error("the store's file is gone, its write-ahead log is set aside", "set_aside", names)
	s.tell(func(r *OpenReport) {
		r.Damage = "the store's file is gone"
		r.SetAside = append(r.SetAside, names...)
	})
	return nil
}

// mode to look at a file with: reading only leaves a write-ahead log as it is.
// A journal of the other kind, left by a process that was killed while it made
// the file, must be rolled back first.
func (s *Store) mode() string {
	if _, err := os.Stat(s.file + "-journal"); err == nil {
		return "rw"
	}
	return "ro"
}

// inspect reads everything once: the structure as SQLite checks it, and each
// row against its checksum. It tells the schema's version.
func (s *Store) inspect(ctx context.Context, found *survey) (int, error) {
	if err := checkHeader(s.file); err != nil {
		return schemaVersion, err
	}
	db, err := openDB(s.file, s.mode(), s.opts.MaxSize)
	if err != nil {
		return schemaVersion, err
	}
	defer func() { _ = db.Close() }() // it was only read
	version, err := readVersion(ctx, db, found)
	if err != nil || version == 0 {
		return version, err
	}
	var verdict string
	if err := db.QueryRowContext(ctx, "PRAGMA integrity_check(1)").Scan(&verdict); err != nil {
		return version, fmt.Errorf("check the store's structure: %w", err)
	}
	if verdict != "ok" {
		return version, &damageError{errors.New(verdict)}
	}
	for _, t := range tables(version) {
		w := walker{db: db, table: t, row: func(rowid int64, row []any, sound bool) error {
			if sound {
				found.take(t.name, row)
			} else {
				found.bad = append(found.bad, badRow{t.name, rowid})
			}
			return nil
		}}
		if err := w.walk(ctx, 1, w.last(ctx, 0)); err != nil {
			return version, err
		}
	}
	found.sort()
	return version, nil
}

// readVersion tells the schema's version; 0 when there are no tables. The
// file's header and the table meta must agree: a header alone may be damaged.
func readVersion(ctx context.Context, db *sql.DB, found *survey) (int, error) {
	var version, tables int
	if err := db.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return schemaVersion, fmt.Errorf("read the schema's version: %w", err)
	}
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM sqlite_schema WHERE type = 'table'").Scan(&tables); err != nil {
		return schemaVersion, fmt.Errorf("read the schema: %w", err)
	}
	if version == 0 && tables == 0 {
		return 0, nil // a process was killed when it had made the file only
	}
	var value string
	var crc int64
	err := db.QueryRowContext(ctx, "SELECT value, crc FROM meta WHERE key = ?", metaSchema).Scan(&value, &crc)
	if noted, e := strconv.Atoi(value); err == nil && e == nil && sum(metaSchema, value) == crc {
		found.badVersion = noted == schemaVersion && version != noted
		version = noted
	}
	switch {
	case version > schemaVersion:
		return version, &NewerSchemaError{Has: version, Knows: schemaVersion}
	case version < 1:
		return schemaVersion, &damageError{fmt.Errorf("the schema's version is %d", version)}
	}
	return version, nil
}

// headerBytes are those of a file's first hundred that never differ between
// two stores of ours (https://www.sqlite.org/fileformat2.html, 1.3): the magic,
// the page size, the fractions of a page, the schema's format, and UTF-8.
func headerBytes() map[int]string {
	return map[int]string{
		0: "SQLite format 3\x00", 16: "\x10\x00", 20: "\x00\x40\x20\x20", 44: "\x00\x00\x00\x04", 56: "\x00\x00\x00\x01",
	}
}

// checkHeader compares them. A file that a process was killed in while it made
// it has neither format nor encoding yet.
func checkHeader(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	defer func() { _ = f.Close() }() // it was only read
	b := make([]byte, 100)
	if _, err := f.ReadAt(b, 0); err != nil {
		return &damageError{fmt.Errorf("the file has no header: %w", err)}
	}
	for at, want := range headerBytes() {
		if has := string(b[at : at+len(want)]); has != want && (at < 40 || strings.Trim(has, "\x00") != "") {
			return &damageError{fmt.Errorf("byte %d of the file's header is not what it was", at)}
		}
	}
	for at := 18; at < 20; at++ { // 1 is a rollback journal, 2 the write-ahead log
		if b[at] != 1 && b[at] != 2 {
			return &damageError{fmt.Errorf("byte %d of the file's header is not what it was", at)}
		}
	}
	return nil
}

// mendHeader puts back what is known of a header, so that the rest of the file
// can be read. Without a number of pages SQLite goes by the size of the file,
// which may be shorter than it was.
func mendHeader(file string) error {
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return fmt.Errorf("open %s: %w", file, err)
	}
	bytes := headerBytes()
	bytes[18], bytes[28] = "\x02\x02", "\x00\x00\x00\x00"
	var errs []error
	for at, b := range bytes {
		_, err := f.WriteAt([]byte(b), int64(at))
		errs = append(errs, err)
	}
	return errors.Join(append(errs, f.Close())...)
}
