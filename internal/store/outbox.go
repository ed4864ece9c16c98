package store

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"fieldmedic/internal/diagnose"
)

// The newest entries stay in memory, so that a publisher which keeps up never
// asks the file: up to tailSize of them, and as many as have tailBytes in their
// bodies together, which for events of one device is about the same.
const (
	tailSize  = 1024
	tailBytes = 2 << 20
)

// tail holds the newest log entries, in order of seq, without gaps.
type tail struct {
	mu      sync.Mutex
	entries []diagnose.LogEntry
	bytes   int
}

func (t *tail) add(entries []diagnose.LogEntry) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, e := range entries {
		e.At = time.UnixMilli(e.At.UnixMilli()) // as the file has it
		t.entries = append(t.entries, e)
		t.bytes += len(e.Body)
	}
	over := 0
	for len(t.entries)-over > tailSize || t.bytes > tailBytes {
		t.bytes -= len(t.entries[over].Body)
		over++
	}
	clear(t.entries[:over]) // the array stays in use until it is full
	t.entries = t.entries[over:]
}

// after answers from memory, or false when the file must be asked.
func (t *tail) after(seq int64, limit int) ([]diagnose.LogEntry, bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.entries) == 0 || t.entries[0].Seq > seq+1 {
		return nil, false
	}
	from := min(int(seq+1-t.entries[0].Seq), len(t.entries))
	to := min(from+limit, len(t.entries))
	return slices.Clone(t.entries[from:to]), true
}

// After returns up to limit entries of the log above seq, in order. A row that
// does not match its checksum is left out and logged: what is behind it must
// not wait for it.
func (s *Store) After(ctx context.Context, seq int64, limit int) ([]diagnose.LogEntry, error) {
	if s.seq.Load() <= seq {
		return nil, nil
	}
	if entries, ok := s.tail.after(seq, limit); ok {
		return entries, nil
	}
	for {
		entries, last, err := s.entries(ctx, "WHERE seq > ? ORDER BY seq LIMIT ?", seq, limit)
		if err != nil || len(entries) > 0 || last == 0 {
			return entries, err
		}
		seq = last // all of these are damaged: look behind them
	}
}

// History returns up to limit of a device's newest entries, oldest first.
func (s *Store) History(ctx context.Context, device string, limit int) ([]diagnose.LogEntry, error) {
	entries, _, err := s.entries(ctx, "WHERE device = ? ORDER BY seq DESC LIMIT ?", device, limit)
	slices.Reverse(entries)
	return entries, err
}

// entries reads rows of the log, and tells the number of the last one, good or
// damaged; 0 when there was none.
func (s *Store) entries(ctx context.Context, where string, args ...any) (entries []diagnose.LogEntry, seq int64, err error) {
	rows, err := s.read.QueryContext(ctx, "SELECT seq, at, device, condition, type, event_id, body, crc FROM log "+where, args...)
	if err != nil {
		return nil, 0, fmt.Errorf("read the log: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err below reports
	for rows.Next() {
		var e diagnose.LogEntry
		var at, crc int64
		if err := rows.Scan(&e.Seq, &at, &e.Device, &e.Condition, &e.Type, &e.EventID, &e.Body, &crc); err != nil {
			return nil, 0, fmt.Errorf("read a row of the log: %w", err)
		}
		seq = e.Seq
		if checksum(e.Body) != crc {
			s.opts.Log.Error("a row of the log is damaged and left out", "seq", e.Seq, "err", errDamaged)
			continue
		}
		e.At = time.UnixMilli(at)
		entries = append(entries, e)
	}
	if err := rows.Err(); err != nil {
		return nil, 0, fmt.Errorf("read the log: %w", err)
	}
	return entries, seq, nil
}

// Cursor is the sequence number up to which every event was published.
func (s *Store) Cursor() int64 { return s.cursor.Load() }

// Seq is the highest sequence number that is durable.
func (s *Store) Seq() int64 { return s.seq.Load() }

// Published moves the cursor. It reaches the file with the next commit, or
// within a second: after a crash that much is published again.
func (s *Store) Published(seq int64) {
	if seq > s.cursor.Load() {
		s.cursor.Store(seq)
	}
}

// saveCursor writes the cursor when no commit took it along.
func (s *Store) saveCursor(ctx context.Context) error {
	s.writing.Lock()
	defer s.writing.Unlock()
	cursor := s.cursor.Load()
	if cursor == s.saved.Load() || s.stmts.cursor == nil {
		return nil
	}
	if _, err := s.stmts.cursor.ExecContext(ctx, strconv.FormatInt(cursor, 10)); err != nil {
		return fmt.Errorf("save the publish cursor: %w", err)
	}
	s.saved.Store(cursor)
	return nil
}
