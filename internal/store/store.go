// Package store keeps what must outlive the process: the append-only log of
// changes, the current problems, and people's decisions. It is one SQLite file
// in write-ahead mode; a commit has reached the disk when it returns.
//
// The log above the publish cursor is the outbox: there is no second queue.
//
// What is damaged, cut or deleted while nobody looks is found when the store is
// opened, counted and said; see open.go, and the seal beside the file.
package store

import (
	"context"
	"database/sql"
	"errors"
	"log/slog"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"fieldmedic/internal/diagnose"
)

// FileName is the store's file in the state directory.
const FileName = "fieldmedic.db"

// Options of a store.
type Options struct {
	// Dir is the state directory; it is made where it is missing.
	Dir string
	// Retention is how long published history is kept.
	Retention time.Duration
	// MaxSize in bytes is what file and write-ahead log together do not grow
	// past. Less is used where the disk is short of room: a fifth of what is
	// free is never taken.
	MaxSize int64
	Log     *slog.Logger
	// Now is the gateway's clock; nil: time.Now.
	Now func() time.Time
	// ClockSuspect tells that the clock is not to be believed: nothing is let go
	// for its age meanwhile. Nil: it always is.
	ClockSuspect func() bool
	// Lost is told of events that were given up from a full outbox before they
	// were published. It must not block. Nil: nobody asks.
	Lost func(n int64)
	// Waiting is told each time that the store cannot be opened for want of room
	// (diagnose.StorageFull) or for an error of the disk, and is tried again
	// later; the error is a *diagnose.JournalError. Nil: nobody asks.
	Waiting func(error)
}

// Store is safe for concurrent use: one writer, readers beside it.
type Store struct {
	opts Options
	file string
	lock *dirLock
	// pools are the connections; another set takes their place when the file
	// was opened anew.
	pools atomic.Pointer[pools]
	epoch atomic.Pointer[uuid.UUID]
	born  atomic.Int64 // unix milliseconds

	// cursor is the highest sequence number that every event up to was
	// published; saved is the one that the file knows of.
	cursor atomic.Int64
	saved  atomic.Int64
	seq    atomic.Int64
	// handed is the highest number that After gave out.
	handed atomic.Int64
	newest atomic.Int64 // stamp of the newest commit, unix milliseconds
	limit  atomic.Int64 // what file and write-ahead log may take, in bytes
	dirty  atomic.Bool  // there are commits that no checkpoint has seen
	broken atomic.Pointer[breakage]

	tail tail

	// writing keeps maintenance and commits apart: one transaction at a time.
	// It guards what follows.
	writing sync.Mutex
	seal    *seal
	commits int64 // number of the last commit
	next    int64 // last number of a commit in the making, or 0
	floor   int64 // numbers up to it were let go of on purpose
	skip    int64 // nothing that may be given up first lies in the outbox before it
	gaveUp  int64 // events given up since that was said
	// forced is why the file counts as damaged although it may look well: the
	// last try to open it failed. abandoned: everything was set aside already.
	forced    error
	abandoned bool
	try       func() error // comes before each try to open the file; only tests set it

	mu       sync.Mutex // guards what follows
	troubles map[string]bool
	report   OpenReport
}

func newStore(opts Options) *Store {
	if opts.Now == nil {
		opts.Now = time.Now
	}
	if opts.ClockSuspect == nil {
		opts.ClockSuspect = func() bool { return false }
	}
	if opts.Lost == nil {
		opts.Lost = func(int64) {}
	}
	if opts.Waiting == nil {
		opts.Waiting = func(error) {}
	}
	s := &Store{opts: opts, file: filepath.Join(opts.Dir, FileName), troubles: make(map[string]bool)}
	s.epoch.Store(new(uuid.UUID))
	return s
}

// read is the pool of readers, which must close what they read before they
// take another.
func (s *Store) read() *sql.DB { return s.pools.Load().read }

// Epoch is the store's uuid: sequence numbers count within it. It changes when
// numbers could be given twice otherwise: see Rebase.
func (s *Store) Epoch() string { return s.epoch.Load().String() }

// EventID is the id of the event with this sequence number: the same as long as
// the epoch is.
func (s *Store) EventID(seq int64) string { return eventID(*s.epoch.Load(), seq) }

func eventID(epoch uuid.UUID, seq int64) string {
	return uuid.NewSHA1(epoch, strconv.AppendInt(nil, seq, 10)).String()
}

// Newest is the stamp of the newest change in the store, of those that were made
// while the clock was believed; zero in a new store. It is at a clock that is
// right, or behind it.
func (s *Store) Newest() time.Time {
	if ms := s.newest.Load(); ms > 0 {
		return time.UnixMilli(ms)
	}
	return time.Time{}
}

// Close saves the cursor, and lets file and directory go.
func (s *Store) Close() error {
	var errs []error
	if p := s.pools.Load(); p != nil {
		errs = append(errs, s.saveCursor(context.Background()))
		s.writing.Lock()
		defer s.writing.Unlock()
		errs = append(errs, p.close())
	}
	if s.seal != nil {
		errs = append(errs, s.seal.file.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.release())
	}
	return errors.Join(errs...)
}

// trouble logs an error of upkeep once, until it stops.
func (s *Store) trouble(what string, err error) {
	s.mu.Lock()
	was := s.troubles[what]
	if err == nil {
		delete(s.troubles, what)
	} else {
		s.troubles[what] = true
	}
	s.mu.Unlock()
	switch {
	case err != nil && !was:
		s.opts.Log.Warn("upkeep of the store fails, and is tried again", "what", what, "err", err)
	case err == nil && was:
		s.opts.Log.Info("upkeep of the store works again", "what", what)
	}
}

// errDamaged is what readers say of a row that is not what was written.
var errDamaged = errors.New("the row does not match its checksum")

// compile-time proof that the hub's interface is met.
var _ diagnose.Journal = (*Store)(nil)
