package store

import (
	"errors"
	"fmt"
	"os"
	"strconv"

	"fieldmedic/internal/diagnose"
)

// This file keeps the store within its size. A commit that would make the file
// grow past it lets go of as much of the log first, in the same transaction, so
// that the file's pages are used again: first history that is published, then
// the oldest events of the outbox that are not critical, then critical ones.

const (
	// lookRows bounds how much of the log one commit looks at to make room.
	lookRows = 2048
	// rowBytes is what a row takes besides its body.
	rowBytes = 200
)

// cut is what a transaction lets go of.
type cut struct {
	floor, skip int64
	cursor      int64 // as it was written down
	runs        []run
	freed       int64 // bytes
	all         bool  // there is nothing more to let go of
}

// measure finds out what file and write-ahead log may take: the configured
// size, or less where that is more than four fifths of the room that is left.
func (s *Store) measure() {
	limit := s.opts.MaxSize
	if free, err := s.free(); err == nil {
		limit = min(limit, s.taken()+free/5*4)
	}
	s.limit.Store(limit)
}

// taken is what file and write-ahead log take on the disk.
func (s *Store) taken() int64 { return sizeOf(s.file) + sizeOf(s.file+"-wal") }

func sizeOf(name string) int64 {
	info, err := os.Stat(name)
	if err != nil {
		return 0
	}
	return info.Size()
}

// filePages is what the file may take of it, in pages; the rest is for the
// write-ahead log, and for what an estimate is off.
func (s *Store) filePages() int64 {
	limit := s.limit.Load()
	return (limit - limit/4 - limit/16) / pageSize
}

// makeRoom lets go of what a batch needs the room of.
func (s *Store) makeRoom(w *writer, b *diagnose.Batch) (cut, error) {
	c := cut{floor: s.floor, skip: s.skip}
	if len(b.Entries)+len(b.Devices) == 0 {
		return c, nil
	}
	need := int64(len(b.Devices)) * pageSize
	for i := range b.Entries {
		need += int64(len(b.Entries[i].Body)) + 2*rowBytes
	}
	over, err := s.over(w)
	if err != nil {
		return c, err
	}
	over += need
	if over <= 0 {
		return c, nil
	}
	// A little more than that, so that not every commit has to; never so much
	// that this one takes long.
	err = s.letGo(w, &c, min(over+need/4, 2*need+1<<20), lookRows)
	var alone error
	if err == nil && c.all {
		alone = errors.New("what is known of the devices takes more than the store may; it is kept")
	}
	s.trouble("keep the store's size", alone)
	return c, err
}

// over is by how much the pages in use are more than may be, in bytes.
func (s *Store) over(w *writer) (int64, error) {
	var pages, unused int64
	if err := w.bind(w.st.pages).QueryRowContext(w.ctx).Scan(&pages, &unused); err != nil {
		return 0, fmt.Errorf("read the size of the store: %w", err)
	}
	return (pages - unused - s.filePages()) * pageSize, nil
}

// letGo frees so many bytes, where the log has them.
func (s *Store) letGo(w *writer, c *cut, bytes int64, rows int) error {
	cursor := s.cursor.Load()
	if err := letGoPublished(w, c, cursor, bytes, rows); err != nil {
		return err
	}
	if c.freed < bytes {
		if err := s.giveUp(w, c, cursor, bytes, rows); err != nil {
			return err
		}
	}
	s.noteCut(w, c, cursor)
	return w.err
}

// noteCut writes down how far the log was let go of. The commit is noted, for
// the row that told it may be gone; and the cursor, for were it behind, a crash
// would have numbers of rows that are gone published again.
func (s *Store) noteCut(w *writer, c *cut, cursor int64) {
	if c.freed == 0 && c.floor == s.floor {
		return
	}
	w.meta(metaFloor, strconv.FormatInt(c.floor, 10))
	w.meta(metaCommit, strconv.FormatInt(w.n, 10))
	w.meta(metaCursor, strconv.FormatInt(cursor, 10))
	c.cursor = cursor
}

// outRow is what is looked at of a row of the log.
type outRow struct {
	Range
	at       int64
	dropped  bool
	critical bool
	bytes    int64
}

// look reads rows of the log in order, without their bodies, until it has what
// counts for so many bytes.
func look(w *writer, above, upTo int64, rows int, bytes int64, counts func(*outRow) bool) (list []outRow, err error) {
	found, err := w.tx.QueryContext(w.ctx, "SELECT seq, at, type, severity, length(body), CASE type WHEN 'dropped' THEN body END FROM log "+
		"WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT ?", above, upTo, rows)
	if err != nil {
		return nil, fmt.Errorf("look for what to let go of: %w", err)
	}
	defer func() { _ = found.Close() }() // Err below reports
	for found.Next() {
		var r outRow
		var typ, severity string
		var body []byte
		if err := found.Scan(&r.From, &r.at, &typ, &severity, &r.bytes, &body); err != nil {
			return nil, fmt.Errorf("look for what to let go of: %w", err)
		}
		r.dropped = typ == string(diagnose.Dropped)
		r.critical = severity == string(diagnose.Critical)
		r.To = max(r.From, endOf(body))
		r.bytes += rowBytes
		list = append(list, r)
		if bytes <= 0 {
			break
		}
		if counts(&r) {
			bytes -= r.bytes
		}
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("look for what to let go of: %w", err)
	}
	return list, nil
}

// letGoPublished deletes the oldest history.
func letGoPublished(w *writer, c *cut, cursor, bytes int64, rows int) error {
	list, err := look(w, c.floor, cursor, rows, bytes, func(*outRow) bool { return true })
	if err != nil || len(list) == 0 {
		return err
	}
	for _, r := range list {
		if c.freed >= bytes {
			break
		}
		c.floor = r.To
		c.freed += r.bytes
	}
	w.direct("DELETE FROM log WHERE seq <= ?", c.floor)
	return w.err
}

// settleCut takes over in memory what the disk has let go of.
func (s *Store) settleCut(c cut) {
	s.skip = c.skip
	if c.floor == s.floor && len(c.runs) == 0 {
		return
	}
	s.floor = c.floor
	s.tail.cut(c.floor, c.runs)
	var lost int64
	for i := range c.runs {
		lost += c.runs[i].events
	}
	if lost > 0 {
		s.gaveUp += lost
		s.opts.Lost(lost)
		if s.gaveUp == lost {
			s.opts.Log.Warn("the outbox is full: the oldest events that were not published are given up", "events", lost)
		}
	}
}

// sayGivenUp logs how many more were given up since the last time.
func (s *Store) sayGivenUp() {
	s.writing.Lock()
	defer s.writing.Unlock()
	if s.gaveUp > 0 {
		s.opts.Log.Warn("events were given up, for the outbox was full", "events", s.gaveUp)
	}
	s.gaveUp = 0
}
