package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"fieldmedic/internal/diagnose"
)

// This file tells the kinds of trouble apart.

// NewerSchemaError refuses a file that a newer program wrote. It is no damage:
// the file is left as it is.
type NewerSchemaError struct{ Has, Knows int }

func (e *NewerSchemaError) Error() string {
	return fmt.Sprintf("the store has schema %d, this program knows %d: install the newer program, or move the file away to start with an empty store",
		e.Has, e.Knows)
}

// damageError says that the file is not what was written.
type damageError struct{ err error }

func (e *damageError) Error() string { return fmt.Sprintf("the store is damaged: %v", e.err) }
func (e *damageError) Unwrap() error { return e.err }

// code is SQLite's primary result code of an error, 0 when it is not SQLite's.
func code(err error) int {
	if e, ok := errors.AsType[*sqlite.Error](err); ok {
		return e.Code() & 0xff
	}
	return 0
}

// noRoom: the file system, or our quota of it, is full.
func noRoom(err error) bool {
	return code(err) == sqlite3.SQLITE_FULL || errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}

// damaged: what was read is not what was written.
func damaged(err error) bool {
	var e *damageError
	c := code(err)
	return errors.As(err, &e) || c == sqlite3.SQLITE_CORRUPT || c == sqlite3.SQLITE_NOTADB
}

// ioFailed: the operating system refused; the data may be good.
func ioFailed(err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_IOERR, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_NOMEM, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED:
		return true
	}
	var path *fs.PathError
	var link *os.LinkError
	var errno syscall.Errno
	return errors.As(err, &path) || errors.As(err, &link) || errors.As(err, &errno)
}

// fault names what an error of the storage means. SQLite does not pass on why
// a write failed: where it may be for want of room, a write of our own tells.
func (s *Store) fault(err error) diagnose.StorageFault {
	if noRoom(err) || ioFailed(err) && noRoom(s.tryWrite()) {
		return diagnose.StorageFull
	}
	return diagnose.StorageFailed
}

// tryWrite writes and removes a small file.
func (s *Store) tryWrite() error {
	name := filepath.Join(s.opts.Dir, "fieldmedic.probe")
	b := make([]byte, 32<<10)
	_, _ = rand.Read(b) // never fails, by its own promise
	return errors.Join(os.WriteFile(name, b, 0o600), os.Remove(name))
}

func (s *Store) journalError(err error) error {
	return &diagnose.JournalError{Fault: s.fault(err), Err: err}
}
